// GRU, twin of equations/gru.py: Cho et al. (2014), with the reset gate after the product.
//
//     r = σ(p_r + h_{t-1} W_hrᵀ + b_hr)                  (1)
//     z = σ(p_z + h_{t-1} W_hzᵀ + b_hz)                  (2)
//     m = h_{t-1} W_hnᵀ + b_hn                           (3)
//     n = tanh(p_n + r m)                                (4)
//     h_t = (1 - z) n + z h_{t-1}                        (5)

import { sigmoid } from "./activations.js";
import { add, back, cat, chunk, linear, make } from "../compute/vectors.js";

export const gru = {
  gates: 3,
  step(p, [h_prev], w) {
    const [p_r, p_z, p_n] = chunk(p, 3);
    const [q_r, q_z, m] = chunk(linear(h_prev, w.W_hh, w.b_hh), 3); // (3)
    const r = add(p_r, q_r).map(sigmoid); // (1)
    const z = add(p_z, q_z).map(sigmoid); // (2)
    const n = make(m.length, (i) => Math.tanh(p_n[i] + r[i] * m[i])); // (4)
    const h = make(m.length, (i) => (1 - z[i]) * n[i] + z[i] * h_prev[i]); // (5)
    return { state: [h], kept: { r, z, n, m, h_prev } };
  },
  stepAdjoint([dh], { r, z, n, m, h_prev }, w) {
    const delta_z = make(dh.length, (i) => dh[i] * (h_prev[i] - n[i]) * z[i] * (1 - z[i])); // (5) into z, (2)
    const delta_n = make(dh.length, (i) => dh[i] * (1 - z[i]) * (1 - n[i] * n[i])); // (5) into n, (4)
    const delta_r = make(dh.length, (i) => delta_n[i] * m[i] * r[i] * (1 - r[i])); // (4) into r, (1)
    const dm = make(dh.length, (i) => delta_n[i] * r[i]); // (4) into m
    const delta_ih = cat(delta_r, delta_z, delta_n);
    const delta_hh = cat(delta_r, delta_z, dm);
    const over = back(delta_hh, w.W_hh);
    const dh_prev = make(dh.length, (i) => dh[i] * z[i] + over[i]); // (5) and (1)-(3) into h_prev
    return { delta_ih, delta_hh, over, d_state: [dh_prev] };
  },
};
