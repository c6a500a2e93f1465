// The one quantity on the diagram's edges: the gradient that passes each edge, or a matrix's contributions.

import { back, norm } from "../compute/vectors.js";
import { number, percent } from "./numbers.js";
import { numbers, page, partsOf, state, weightOf } from "./store.js";

export const DIED = 1e-6; // of the gradient at the start
const DECADES = 6; // of a logarithmic scale

export const EDGE_OF = { input: "in", input_bias: "in", recurrent: "s", recurrent_bias: "s", readout: "y", readout_bias: "y", projection: "lane" };

/** The gradient of E_t by the value at an edge's start, over that edge, as a vector; null where it does not pass.
 *
 * Edges end at step k: "E" from y_k, "y" from s_k, "s" from s_{k-1} by W_s, "lane" beside it, "in" from below. */
export function gradientOver({ kind, layer, k }, { network, found } = numbers) {
  if (!found || k > found.t || k < found.first) return null;
  if (kind === "E") return k === found.t ? found.dz : null;
  if (kind === "y") return k === found.t ? back(found.dz, network.W_y) : null;
  const walk = found.layers[state.network.layers.indexOf(layer)];
  if (kind === "in") return walk.dx[k];
  if (k === found.first) return null; // a truncation ends here, or the sequence
  return kind === "s" ? walk.over_s[k] : walk.over_lane[k];
}

/** ‖∂E_t/∂s_k‖ of a layer. */
export function flowAt(layer, k, { found } = numbers) {
  if (page.recorded) return found.flow(layer, k);
  return k > found.t || k < found.first ? null : norm(found.layers[state.network.layers.indexOf(layer)].dh[k]);
}

/** What an edge carries of the chosen quantity; null where it carries nothing. */
export function carried(edge, from = numbers) {
  const { quantity } = state;
  const weight = weightOf(quantity);
  if (weight) return contributionAt(weight, edge, from);
  const size = page.recorded ? recordedOver(edge) : normOf(gradientOver(edge, from));
  return size === null || quantity === "norm" ? size : size / startOf(from);
}

const normOf = (vector) => (vector ? norm(vector) : null);

const recordedOver = ({ kind, layer, k }) => (kind === "s" && k > 1 && k <= state.t ? numbers.found.flow(layer, k - 1) : kind === "y" && k === state.t ? startOf() : null);

function contributionAt(weight, { kind, layer, k }, from) {
  if (kind !== EDGE_OF[weight.role] || (weight.layer !== null && weight.layer !== layer)) return null;
  if (from !== numbers) return null;
  return partsOf(weight.name).parts.find((part) => part.k === k)?.norm ?? null;
}

/** ‖∂E_t/∂s_t‖, where the way back through time starts. */
export const startOf = (from = numbers) => flowAt(state.network.layers.at(-1), from.found.t, from) || 0;

/** What the widths of bands are measured by, over all edges. */
export function scaleOf(edges) {
  const sizes = edges.map((edge) => carried(edge)).filter((size) => size > 0 && Number.isFinite(size));
  const most = Math.max(1e-300, ...sizes);
  const start = weightOf(state.quantity) ? most : state.quantity === "norm" ? startOf() : 1;
  return { most, start };
}

/** The width of a band, at most 1. */
export function widthOf(size, { most }) {
  if (!(size > 0)) return 0;
  const part = Math.min(1, size / most);
  return state.log ? Math.max(0, 1 + Math.log10(part) / DECADES) : part;
}

/** How the chosen quantity is called, in a sentence of the legend. */
export function quantityName() {
  const weight = weightOf(state.quantity);
  if (weight) return ["the norm of each use's contribution to ", `\\frac{\\partial E_{${state.t}}}{\\partial ${weight.latex}}`];
  const of = `\\partial E_{${state.t}}`;
  if (state.quantity === "norm") return ["the gradient ", `\\lVert ${of}/\\partial v\\rVert`, " by the value v where the edge starts, over that edge"];
  return ["the gradient by the value where the edge starts, over that edge, as a part of ", `\\lVert ${of}/\\partial s_{${state.t}}\\rVert`];
}

/** The chosen quantity as a label. */
export const shownSize = (value) => (state.quantity === "percent" ? percent(value) : number(value, 3));

/** What the way beside W_s is multiplied with at this step: the mean of the forget gate f, of z, or 1 - α. */
export function gateOf({ layer, k }) {
  const { cell, leak } = state.network;
  if (cell === "elman") return { letter: "1−α", mean: 1 - leak };
  const kept = numbers.pass.layers[state.network.layers.indexOf(layer)].kept[k - 1];
  const gate = cell === "lstm" ? kept.f : kept.z;
  return { letter: cell === "lstm" ? "f" : "z", mean: gate.reduce((a, b) => a + b) / gate.length };
}
