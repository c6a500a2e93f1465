// The lesson's cell, twin of equations/elman.py: Elman (1990), with leaky units as an option.
//
//     a_t = x_t W_x + s_{t-1} W_s                       (1)
//     s_t = (1 - α) s_{t-1} + α Φ(a_t)                  (2)   α = 1: the lesson's network

import { ACTIVATIONS } from "./activations.js";
import { add, back, linear, make } from "../compute/vectors.js";

/** h' = (1 - α) h + α Φ(p + h W_hhᵀ + b_hh), with p = x W_ihᵀ + b_ih. */
export function elman(activation, leak) {
  const phi = ACTIVATIONS[activation];
  return {
    gates: 1,
    step(p, [h_prev], w) {
      const a = add(p, linear(h_prev, w.W_hh, w.b_hh)); // (1)
      const s = a.map(phi.function);
      const h = make(s.length, (i) => (1 - leak) * h_prev[i] + leak * s[i]); // (2)
      return { state: [h], kept: { phi: phi.keeps === "output" ? s : a } };
    },
    slope: (kept) => kept.phi.map(phi.derivative), // Φ'(a)
    stepAdjoint([dh], kept, w) {
      const slope = kept.phi.map(phi.derivative);
      const delta = make(dh.length, (i) => (slope[i] === 0 ? 0 : leak * dh[i] * slope[i])); // (2) into a
      const over = back(delta, w.W_hh); // (1) into h_prev
      const d_prev = leak === 1 ? over : make(dh.length, (i) => over[i] + (1 - leak) * dh[i]); // (2) into h_prev
      return { delta_ih: delta, delta_hh: delta, over, d_state: [d_prev] };
    },
  };
}
