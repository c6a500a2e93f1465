// A network's forward pass and the backward pass of one error, through any layers of one cell (twin of the walks).

import { elman } from "../cells/elman.js";
import { gru } from "../cells/gru.js";
import { lstm } from "../cells/lstm.js";
import { LOSSES } from "./losses.js";
import { add, back, dot, linear, make, minus, norm, outer, transposed, zeros } from "./vectors.js";

const FIELDS = { input: "W_ih", recurrent: "W_hh", input_bias: "b_ih", recurrent_bias: "b_hh", projection: "W_hr" };

/** A network to compute with, from its description: {cell, activation, leak, loss, layers, weights}.
 *
 * Its weights stand as the formulas multiply them, x W_x; inside they are torch's, (out, in). */
export function networkOf({ cell, activation, leak, loss, layers, weights }) {
  const torchs = (weight) => (Array.isArray(weight.values[0]) ? transposed(weight.values) : weight.values);
  const found = layers.map(() => ({}));
  const network = { cell: { elman: elman(activation, leak), gru, lstm }[cell], loss: LOSSES[loss], layers: found, W_y: null, b_y: null };
  for (const weight of weights) {
    if (weight.role === "readout") network.W_y = torchs(weight);
    else if (weight.role === "readout_bias") network.b_y = weight.values;
    else found[layers.indexOf(weight.layer)][FIELDS[weight.role]] = torchs(weight);
  }
  return network;
}

/** Every step of the forward pass: states[k] after step k, from states[0] = 0, by layer; z, y and E by step. */
export function forward({ cell, loss, layers, W_y, b_y }, x, d) {
  let below = x;
  const walks = layers.map((w) => {
    const H = w.W_hh.length / cell.gates;
    const R = w.W_hh[0].length;
    const walk = { x: below, states: [cell.gates === 4 ? [zeros(R), zeros(H)] : [zeros(R)]], kept: [] };
    for (const x_t of below) {
      const { state, kept } = cell.step(linear(x_t, w.W_ih, w.b_ih), walk.states.at(-1), w);
      walk.states.push(state);
      walk.kept.push(kept);
    }
    below = walk.states.slice(1).map(([h]) => h);
    return walk;
  });
  const z = below.map((h) => linear(h, W_y, b_y));
  return { layers: walks, z, y: z.map(loss.output), errors: z.map((row, k) => loss.error(row, d[k])), d };
}

/** The backward pass of E_t (t from 1), to the first step or over the last k2 steps only.
 *
 * By layer and step, from row k = 1 on: dh = ∂E_t/∂s_k, dc = ∂E_t/∂c_k (LSTM), the deltas, and what passes from
 * step k to k - 1: over_s by W_s, over_lane beside it (the leak, GRU's z, LSTM's f). `first` is the earliest step. */
export function backward({ cell, loss, layers, W_y }, pass, t, k2 = Infinity) {
  const first = Math.max(1, t - k2 + 1);
  const dz = loss.slope(pass.z[t - 1], pass.d[t - 1]);
  let entering = { [t]: back(dz, W_y) };
  const walks = [];
  for (let l = layers.length - 1; l >= 0; l--) {
    const w = layers[l];
    const { kept, states } = pass.layers[l];
    const walk = { dh: [], dc: [], delta_ih: [], delta_hh: [], over_s: [], over_lane: [], dx: [] };
    let d_state = states[0].map((part) => zeros(part.length));
    for (let k = t; k >= first; k--) {
      d_state = [entering[k] ? add(d_state[0], entering[k]) : d_state[0], ...d_state.slice(1)];
      walk.dh[k] = d_state[0];
      const adjoint = cell.stepAdjoint(d_state, kept[k - 1], w);
      walk.delta_ih[k] = adjoint.delta_ih;
      walk.delta_hh[k] = adjoint.delta_hh;
      if (adjoint.dc) walk.dc[k] = adjoint.dc;
      walk.over_s[k] = adjoint.over;
      walk.over_lane[k] = adjoint.dc ? adjoint.d_state[1] : minus(adjoint.d_state[0], walk.over_s[k]);
      walk.dx[k] = back(adjoint.delta_ih, w.W_ih);
      d_state = adjoint.d_state;
    }
    entering = walk.dx;
    walks[l] = walk;
  }
  return { t, first, dz, layers: walks };
}

/** The two rows whose product is the contribution of a weight's use at step k; no operand for a bias. */
export function factors(weight, layers, pass, found, k) {
  if (weight.layer === null) {
    if (k !== found.t) return null;
    const h = pass.layers.at(-1).states[k][0];
    return { operand: weight.role === "readout" ? h : null, delta: found.dz };
  }
  const l = layers.indexOf(weight.layer);
  const { x, states, kept } = pass.layers[l];
  const walk = found.layers[l];
  if (weight.role === "projection") {
    const { o, tanh_c } = kept[k - 1];
    return { operand: make(o.length, (i) => o[i] * tanh_c[i]), delta: walk.dh[k] };
  }
  const recurrent = weight.role.startsWith("recurrent");
  const operand = recurrent ? states[k - 1][0] : x[k - 1];
  return { operand: weight.role.endsWith("bias") ? null : operand, delta: recurrent ? walk.delta_hh[k] : walk.delta_ih[k] };
}

/** A contribution as a matrix, laid out as the weight; of a bias a vector. */
export const product = ({ operand, delta }) => (operand ? outer(operand, delta) : delta);

/** ∂E_t/∂W with every step's part of it: {gradient, total, parts: [{k, norm, share, operand, delta}]}, k falling. */
export function contributions(weight, layers, pass, found) {
  const parts = [];
  for (let k = found.t; k >= found.first; k--) {
    const pair = factors(weight, layers, pass, found, k);
    if (pair) parts.push({ k, ...pair });
  }
  const gradient = sumOf(parts);
  const rows = Array.isArray(gradient) ? gradient : [gradient];
  const square = rows.reduce((sum, row) => sum + dot(row, row), 0);
  for (const part of parts) {
    const { operand, delta } = part;
    const along = operand ? operand.reduce((sum, value, i) => sum + value * dot(rows[i], delta), 0) : dot(gradient, delta);
    part.norm = norm(delta) * (operand ? norm(operand) : 1);
    part.share = square > 0 ? along / square : 0;
  }
  return { gradient, total: Math.sqrt(square), parts };
}

/** The sum of the products of some parts. */
function sumOf([first, ...others]) {
  const gradient = product(first).map((row) => (typeof row === "number" ? row : Float64Array.from(row)));
  for (const { operand, delta } of others) {
    const rows = operand ? gradient : [gradient];
    rows.forEach((row, i) => {
      const by = operand ? operand[i] : 1;
      if (by !== 0) for (let j = 0; j < delta.length; j++) row[j] += by * delta[j];
    });
  }
  return gradient;
}

/** The sum of two matrices, or of two vectors. */
export const plus = (a, b) => (Array.isArray(a) ? a.map((row, i) => add(row, b[i])) : add(a, b));

/** The gradient of the error of one step, or of the sum of all (t null), by weight. */
export function gradients(description, network, pass, t = null, k2 = Infinity) {
  const steps = t === null ? pass.errors.map((_, i) => i + 1) : [t];
  const found = {};
  for (const step of steps) {
    const error = backward(network, pass, step, k2);
    for (const weight of description.weights) {
      const { gradient } = contributions(weight, description.layers, pass, error);
      found[weight.name] = found[weight.name] ? plus(found[weight.name], gradient) : gradient;
    }
  }
  return found;
}

/** The weights after a step of gradient descent, W ← W - rate ∂E/∂W, the whole gradient's norm clipped. */
export function descended(weights, gradient, rate, clip = Infinity) {
  const length = Math.sqrt(Object.values(gradient).flatMap((g) => (Array.isArray(g) ? g : [g])).reduce((sum, row) => sum + dot(row, row), 0));
  const by = rate * Math.min(1, clip / length);
  const moved = (row, g) => Array.from(row, (value, i) => value - by * g[i]);
  return weights.map((weight) => {
    const g = gradient[weight.name];
    return { ...weight, values: Array.isArray(g) ? weight.values.map((row, i) => moved(row, g[i])) : moved(weight.values, g) };
  });
}
