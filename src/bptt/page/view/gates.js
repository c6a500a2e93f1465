// How the error of a state goes through the gates of its step: one product for each gate of a GRU or LSTM.

import { back, chunk, make } from "../compute/vectors.js";
import { formulas } from "./store.js";

const ORDER = { gru: ["r", "z", "n"], lstm: ["i", "f", "g", "o"] }; // as they stand in torch

const sigmoidSlope = (gate) => gate.map((value) => value * (1 - value));
const tanhSlope = (gate) => gate.map((value) => 1 - value * value);

/** The factors of each gate's δ. */
const FACTORS = {
  gru(dh, { r, z, n, m, h_prev }, deltas) {
    const open = z.map((value) => 1 - value);
    const gap = make(n.length, (i) => h_prev[i] - n[i]);
    return { r: [deltas[2], m, sigmoidSlope(r)], z: [dh, gap, sigmoidSlope(z)], n: [dh, open, tanhSlope(n)] };
  },
  lstm(dh, { i, f, g, o, c_prev, tanh_c }, deltas, dc) {
    return { i: [dc, g, sigmoidSlope(i)], f: [dc, c_prev, sigmoidSlope(f)], g: [dc, i, tanhSlope(g)], o: [dh, tanh_c, sigmoidSlope(o)] };
  },
};

/** Each gate's formula and its product with the numbers of step k: [{line, sum}]. */
export function gateProducts(cell, weights, walk, kept, k) {
  const dh = weights.W_hr ? back(walk.dh[k], weights.W_hr) : walk.dh[k];
  const letters = ORDER[cell];
  const deltas = chunk(walk.delta_ih[k], letters.length);
  const factors = FACTORS[cell](dh, kept, deltas, walk.dc[k]);
  const lines = formulas().deltas.flatMap((line) => line.split(",\\quad "));
  const ofGate = (letter) => lines.find((line) => line.split(" = ")[0].endsWith(`${letter}}`));
  const order = cell === "gru" ? ["z", "n", "r"] : letters; // δ of r needs that of n
  const products = order.map((letter) => {
    const [first, second, slope] = factors[letter];
    return { line: ofGate(letter), sum: [first, "⊙", second, "⊙", slope, "=", deltas[letters.indexOf(letter)]] };
  });
  if (cell === "gru") return products;
  return [{ line: lines[0], sum: [walk.dc[k]] }, ...products];
}
