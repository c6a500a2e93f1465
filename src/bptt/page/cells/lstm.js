// LSTM, twin of equations/lstm.py: Hochreiter & Schmidhuber (1997) with forget gates (Gers et al. 2000).
//
//     i = σ(a_i),  f = σ(a_f),  g = tanh(a_g),  o = σ(a_o)      (1)-(4)
//         with a = p + h_{t-1} W_hhᵀ + b_hh
//     c_t = f c_{t-1} + i g                                      (5)
//     h_t = o tanh(c_t)                                          (6)
//     h_t = (o tanh(c_t)) W_hrᵀ    with a projection             (7)   Sak et al. (2014)

import { sigmoid } from "./activations.js";
import { add, back, cat, chunk, linear, make } from "../compute/vectors.js";

export const lstm = {
  gates: 4,
  step(p, [h_prev, c_prev], w) {
    const [a_i, a_f, a_g, a_o] = chunk(add(p, linear(h_prev, w.W_hh, w.b_hh)), 4);
    const i = a_i.map(sigmoid); // (1)
    const f = a_f.map(sigmoid); // (2)
    const g = a_g.map(Math.tanh); // (3)
    const o = a_o.map(sigmoid); // (4)
    const c = make(g.length, (j) => f[j] * c_prev[j] + i[j] * g[j]); // (5)
    const tanh_c = c.map(Math.tanh);
    const m = make(g.length, (j) => o[j] * tanh_c[j]); // (6)
    const h = w.W_hr ? linear(m, w.W_hr) : m; // (7)
    return { state: [h, c], kept: { i, f, g, o, c_prev, tanh_c } };
  },
  stepAdjoint([dh_out, dc_out], { i, f, g, o, c_prev, tanh_c }, w) {
    const dh = w.W_hr ? back(dh_out, w.W_hr) : dh_out; // (7)
    const dc = make(g.length, (j) => dc_out[j] + dh[j] * o[j] * (1 - tanh_c[j] * tanh_c[j])); // (6) into c
    const delta_o = make(g.length, (j) => dh[j] * tanh_c[j] * o[j] * (1 - o[j])); // (6) into o, (4)
    const delta_i = make(g.length, (j) => dc[j] * g[j] * i[j] * (1 - i[j])); // (5) into i, (1)
    const delta_f = make(g.length, (j) => dc[j] * c_prev[j] * f[j] * (1 - f[j])); // (5) into f, (2)
    const delta_g = make(g.length, (j) => dc[j] * i[j] * (1 - g[j] * g[j])); // (5) into g, (3)
    const delta = cat(delta_i, delta_f, delta_g, delta_o);
    const dh_prev = back(delta, w.W_hh); // (1)-(4) into h_prev
    const dc_prev = make(g.length, (j) => dc[j] * f[j]); // (5) into c_prev
    return { delta_ih: delta, delta_hh: delta, over: dh_prev, d_state: [dh_prev, dc_prev], dc };
  },
};
