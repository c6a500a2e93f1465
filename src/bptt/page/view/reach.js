// How far back the gradient reaches: by lag, as a map, and what the network's dynamics say about it.

import { backward, contributions, forward, networkOf } from "../compute/network.js";
import { jacobian, lyapunovExponents, productSingularValues } from "../compute/dynamics.js";
import { norm } from "../compute/vectors.js";
import { heatMap, lineChart } from "./charts.js";
import { byId, el } from "./dom.js";
import { flowAt, startOf } from "./flows.js";
import { number, percent } from "./numbers.js";
import { tex } from "./tex.js";
import { look, numbers, page, shown, state, weightOf } from "./store.js";

const HUES = ["forward", "back", "green", "purple", "soft"];
const PAUSE = 150; // milliseconds without a change after which the slower charts follow
const ERRORS = 120; // of a map; of a longer sequence the last ones
const UNITS = 24; // of a layer whose Jacobians are taken
const TAKEN = 200; // over which they are taken at most

let pausing = 0;

/** The curve by lag at once, the rest when the reader pauses. */
export function showReach(numbersChanged) {
  showLags();
  showSentence();
  clearTimeout(pausing);
  pausing = setTimeout(() => {
    showMap();
    if (!page.recorded && numbersChanged) showDynamics();
  }, PAUSE);
}

function showLags() {
  const { network, t } = state;
  const series = (state.compare ? comparison() : network.layers.map((layer) => ({ name: network.layers.length > 1 ? `layer ${layer.slice(1)}` : `t = ${t}`, flows: flowsOf(layer) }))).map(({ name, flows }, i) => ({
    name, x: flows.map((_, lag) => lag), y: flows, color: HUES[(i + 1) % HUES.length], dash: [null, "6 4", "2 3"][i % 3],
  }));
  lineChart(byId("lags"), { series, xLabel: "lag t − k, steps back", yLabel: "part of step t", log: true, label: `The gradient by lag: after ${series[0].x.length - 1} steps ${percent(series[0].y.at(-1))} is left.` });
}

/** ‖∂E_t/∂s_k‖ by lag, as a part of its start in that layer. */
function flowsOf(layer) {
  const found = [];
  for (let k = state.t; k >= numbers.found.first; k--) found.push(flowAt(layer, k));
  return found.map((size) => (size === null ? NaN : size / found[0]));
}

/** The same curve of other networks on the same sequence. */
const comparison = () =>
  state.compare.map(({ name, network }) => {
    const computing = networkOf(network);
    const pass = forward(computing, shown(state.x), shown(state.d));
    const { layers, first } = backward(computing, pass, state.t, state.k2 ?? Infinity);
    const { dh, dc } = layers.at(-1);
    const flows = [];
    for (let k = state.t; k >= first; k--) flows.push(Math.hypot(norm(dh[k]), dc[k] ? norm(dc[k]) : 0));
    return { name, flows: flows.map((size) => size / flows[0]) };
  });

/** How much is left, in a sentence. */
function showSentence() {
  const { t } = state;
  const flows = flowsOf(state.network.layers.at(-1));
  const back = flows.length - 1;
  const left = flows.at(-1);
  const by = back > 0 ? left ** (1 / back) : 1;
  const say = back === 0 ? "Step t is the first one: there is no way back in time yet." : `Of the gradient at step ${t}, ${percent(left)} is left ${back} step${back > 1 ? "s" : ""} back: each step multiplies it by ${number(by, 2)} on average. ${judged(by, left)}`;
  byId("reach-says").textContent = startOf() > 0 ? say : "The error of this step is 0: nothing goes back.";
}

function judged(by, left) {
  if (!Number.isFinite(left)) return "It has overflowed.";
  if (left < 1e-3) return page.diagnosis ? "Next to nothing of this one error arrives at the far steps." : "It vanishes: far steps teach the network next to nothing.";
  if (by > 1.05 && left > 10) return "It explodes: far steps drown the near ones, and a step of gradient descent overshoots.";
  return "";
}

function showMap() {
  const T = page.recorded ? numbers.pass.y.length : state.T;
  const layer = state.network.layers.at(-1);
  const last = Math.min(T, Math.max(state.t, ERRORS));
  const first = Math.max(1, last - ERRORS + 1);
  const rows = [];
  for (let t = first; t <= last; t++) rows.push(page.recorded ? recordedRow(layer, t, first) : mapRow(t, first));
  const weight = page.recorded ? undefined : weightOf(state.quantity);
  byId("map-says").replaceChildren(weight ? "contributions to " : "", weight ? tex(weight.latex) : "the gradient at the states");
  heatMap(byId("map"), { rows, t: state.t - first + 1, label: `Map of ${weight ? `the contributions to ${weight.latex}` : "the gradient"} by error and step, darker is larger; steps ${first} to ${last}.`, choose: (t, k) => look({ t: t + first - 1, selected: { kind: "node s", layer, k: k + first - 1 } }) });
}

const recordedRow = (layer, t, first) => [...page.recorded.flow[layer][t - 1]].slice(0, t - first + 1).reverse();

/** ‖∂E_t/∂s_k‖ of the last layer for the steps up to t; or where a matrix is on the edges, its contributions. */
function mapRow(t, first) {
  const found = backward(numbers.network, numbers.pass, t, t - first + 1);
  const weight = weightOf(state.quantity);
  if (!weight) return found.layers.at(-1).dh.slice(first).map(norm);
  const row = new Array(t - first + 1).fill(0);
  for (const part of contributions(weight, state.network.layers, numbers.pass, found).parts) row[part.k - first] = part.norm;
  return row;
}

function showDynamics() {
  const l = state.network.layers.length - 1;
  const walk = numbers.pass.layers[l];
  const size = walk.states[0].reduce((sum, part) => sum + part.length, 0);
  const able = size <= 2 * UNITS && state.T >= 3;
  byId("dynamics").hidden = !able;
  if (!able) return;
  const first = Math.max(1, state.T - TAKEN + 1);
  const jacobians = [];
  for (let k = first; k <= state.T; k++) jacobians.push(jacobian(numbers.network.cell, numbers.network.layers[l], walk, k));
  const exponents = lyapunovExponents(jacobians);
  lineChart(byId("lyapunov"), { series: [{ name: "", x: exponents.map((_, i) => i + 1), y: exponents, color: "forward" }], xLabel: "number, the largest first", yLabel: "λ, per step", marks: [0], zero: true, label: `Lyapunov exponents, the largest ${number(exponents[0], 3)}.` });
  byId("lyapunov-says").textContent = `The largest is ${number(exponents[0], 3)}: over many steps the gradient ${exponents[0] < 0 ? "shrinks" : "grows"} by a factor of ${number(Math.exp(exponents[0]), 3)} a step.`;
  const lags = [1, 2, 4, 8, 16, 32, 64, 128].filter((lag) => lag <= Math.min(jacobians.length, state.t - first + 1));
  const values = lags.length ? productSingularValues(jacobians, state.t - first + 1, lags) : [];
  const series = (values[0] ?? []).map((_, i) => ({ name: i === 0 ? "largest" : "", x: lags, y: values.map((row) => row[i]), color: i === 0 ? "back" : "soft", width: i === 0 ? 2.5 : 1 }));
  lineChart(byId("singular"), { series, xLabel: "steps of the product", yLabel: "singular values", log: true, label: "Singular values of products of Jacobians." });
  lineChart(byId("activations"), { ...histogram(walk.states.slice(1).flatMap(([h]) => [...h])), xLabel: "value of a unit", yLabel: "units × steps", bars: true, zero: true, label: "Histogram of the states' values." });
}

function histogram(values, bins = 20) {
  const reach = Math.max(1, ...values.map((value) => (Number.isFinite(value) ? Math.abs(value) : 0)));
  const counts = new Array(bins).fill(0);
  for (const value of values) if (Number.isFinite(value)) counts[Math.min(bins - 1, Math.floor(((value + reach) / (2 * reach)) * bins))]++;
  return { series: [{ name: "", x: counts.map((_, i) => -reach + ((i + 0.5) * 2 * reach) / bins), y: counts, color: "forward" }] };
}

/** The diagnosis that Python made of a run, in words. */
export function showDiagnosis() {
  const { diagnosis } = page;
  if (!diagnosis) return;
  byId("verdict").replaceChildren(
    el("p", { class: `verdict ${diagnosis.severity}` }, el("strong", {}, `${{ fine: "Fine", note: "Note", warning: "Warning" }[diagnosis.severity]}. `), diagnosis.sentence),
    ...diagnosis.notes.map((note) => el("p", { class: "verdict note" }, note)),
    diagnosis.where ? el("p", { class: "say" }, `Measured on ${diagnosis.where}, as trained.`) : "",
    diagnosis.remedies.length ? el("ul", {}, ...diagnosis.remedies.map((remedy) => el("li", {}, remedy))) : "",
  );
}
