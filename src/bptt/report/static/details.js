// What was clicked: its equation, its numbers, its share.

import { byId, el } from "./dom.js";
import { brackets, number, percent, shareBar } from "./format.js";
import { formula, letters, outputEquation, stateEquation, SUMS } from "./formula.js";
import { backAt, lagOf, stepName, store, weightOf, weightsOf } from "./store.js";

const row = (name, value) => (value === null || value === undefined ? null : [el("dt", {}, name), el("dd", {}, value)]);
const vector = (values) => (values ? brackets([values]) : null);
const f = (text) => formula(text);

/** Fill the panel with what is selected. */
export function showDetails() {
  const { kind, layer, k } = store.selected;
  const panel = { E: errorPanel, error: errorPanel, y: outputPanel, read: readPanel, s: statePanel, link: recurrentPanel, in: inputPanel, x: entryPanel }[kind](k, layer);
  byId("details").replaceChildren(
    el("h3", {}, panel.title),
    ...panel.equations.map((text) => el("p", { class: "equation" }, formula(text))),
    el("dl", {}, ...panel.rows.filter(Boolean).flat()),
    ...(panel.say ? [el("p", { class: "say" }, panel.say)] : []),
  );
}

/** Why the backward pass has no numbers for a step. */
function outside(k) {
  const { t, network } = store;
  if (k > t) return `Step ${k} comes after t = ${t}: E at step ${t} does not depend on it.`;
  if (lagOf(k) === null) return `It lies more than ${network.backward.kept} steps before t; the map below shows how much of the gradient gets that far.`;
  return null;
}

function errorPanel(k) {
  const { network, t } = store;
  const dz = network.backward.outputs[k - 1];
  const equation = SUMS[network.loss];
  return {
    title: `Error of ${stepName(k)}`,
    equations: [equation ? equation(k, network) : `E_{${k}} = ${network.loss}(y_{${k}}, d_{${k}})`],
    rows: [
      row(f(`d_{${k}}`), Array.isArray(network.d[k - 1]) ? vector(network.d[k - 1]) : `class ${network.d[k - 1]}`),
      row(f(`y_{${k}}`), vector(network.forward.outputs[k - 1])),
      row(f(`E_{${k}}`), number(network.forward.errors[k - 1])),
      row(f(network.softmax ? `∂E_{${k}} / ∂(s_{${k}} W_y)` : `∂E_{${k}} / ∂y_{${k}}`), vector(dz)),
    ],
    say: k === t ? "The backward pass starts here." : `Choose t = ${k} to send this error back.`,
  };
}

function outputPanel(k) {
  const { network, t } = store;
  return {
    title: `Output of ${stepName(k)}`,
    equations: [outputEquation(network, k)],
    rows: [
      row(f(`y_{${k}}`), vector(network.forward.outputs[k - 1])),
      row(f(`d_{${k}}`), Array.isArray(network.d[k - 1]) ? vector(network.d[k - 1]) : `class ${network.d[k - 1]}`),
      k === t ? row(f(`∂E_{${t}} / ∂y_{${t}}`), vector(network.backward.outputs[k - 1])) : null,
    ],
    say: k === t ? null : `E at step ${t} looks at the output of step ${t} only.`,
  };
}

function readPanel(k) {
  const weight = weightsOf("readout")[0];
  const top = store.network.layers.at(-1);
  return {
    title: `Read-out of ${stepName(k)}`,
    equations: [outputEquation(store.network, k), `∂E_{${store.t}} / ∂W_y = s_{${store.t}}^T ∂E_{${store.t}} / ∂y_{${store.t}}`],
    rows: [row(f(`s_{${k}}`), vector(store.network.forward.states[top][k - 1])), row(f("W_y"), weight.values && brackets(weight.values)), ...contribution(weight, k)],
    say: k === store.t ? "W_y is used by the output of step t alone: no other step contributes." : `E at step ${store.t} does not pass here.`,
  };
}

function statePanel(k, layer) {
  const { network, t } = store;
  const flow = backAt("flow", layer, k);
  const start = network.backward.flow[layer][t - 1][0];
  const slopes = network.forward.slopes[layer];
  const part = flow !== null && start ? flow / start : null;
  return {
    title: `State of ${stepName(k)}${network.layers.length > 1 ? `, layer ${layer}` : ""}`,
    equations: [stateEquation(network, k, layer)],
    rows: [
      row(f(`s_{${k}}`), vector(network.forward.states[layer][k - 1])),
      row(f(`Φ'(a_{${k}})`), slopes && vector(slopes[k - 1])),
      row(f(`∂E_{${t}} / ∂s_{${k}}`), vector(backAt("states", layer, k))),
      row(f(`δ_{${k}}`), network.cell === "elman" ? vector(backAt("deltas", layer, k)) : null),
      row(f(`‖∂E_{${t}} / ∂s_{${k}}‖`), flow === null ? null : number(flow)),
      row("of step t", part === null ? null : el("span", { class: "sized" }, percent(part))),
    ],
    say: outside(k) ?? (part !== null && k < t ? `${percent(part)} of what reaches the state of step ${t} is left here.` : null),
  };
}

function recurrentPanel(k, layer) {
  const { network } = store;
  const weight = weightsOf("recurrent", layer)[0];
  const states = network.forward.states[layer];
  const product = network.forward.products[weight.name];
  const name = letters(weight.label);
  return {
    title: `From ${k > 1 ? stepName(k - 1) : "the start"} to ${stepName(k)}`,
    equations: [`s_{${k - 1}} ${name}`, gradientTerm(weight, k)],
    rows: [
      row(f(`s_{${k - 1}}`), vector(k > 1 ? states[k - 2] : network.forward.before[layer])),
      row(f(name), weight.values && brackets(weight.values)),
      row(f(`s_{${k - 1}} ${name}`), product && vector(product[k - 1])),
      row(f(`δ_{${k}}`), vector(backAt("deltas", layer, k))),
      ...contribution(weight, k),
    ],
    say: outside(k) ?? (k === 1 ? "The state before step 1 is 0, so this use of the matrix contributes nothing." : null),
  };
}

function inputPanel(k, layer) {
  const { network } = store;
  const weight = weightsOf("input", layer)[0];
  const below = network.layers[network.layers.indexOf(layer) - 1];
  const name = letters(weight.label);
  const input = below ? `s^{${below}}_{${k}}` : `x_{${k}}`;
  const product = network.forward.products[weight.name];
  return {
    title: `Into the state of ${stepName(k)}`,
    equations: [`${input} ${name}`, gradientTerm(weight, k)],
    rows: [
      row(f(input), vector(below ? network.forward.states[below][k - 1] : network.x[k - 1])),
      row(f(name), weight.values && brackets(weight.values)),
      row(f(`${input} ${name}`), product && vector(product[k - 1])),
      row(f(`δ_{${k}}`), vector(backAt("deltas", layer, k))),
      ...contribution(weight, k),
    ],
    say: outside(k),
  };
}

function entryPanel(k) {
  return {
    title: `Input of ${stepName(k)}`,
    equations: [],
    rows: [row(f(`x_{${k}}`), vector(store.network.x[k - 1]))],
    say: "An input has no weights to train, but W_x is used here.",
  };
}

/** What step k contributes to the gradient of a weight. */
export function gradientTerm(weight, k) {
  const { network, t } = store;
  const sent = weight.role === "readout" ? `∂E_{${t}} / ∂y_{${t}}` : `δ_{${k}}`;
  return `${operand(weight, k, network)}^T ${sent}`;
}

/** The letters of what a weight is multiplied with at step k. */
export function operand(weight, k, network) {
  const of = network.layers.length > 1 && weight.layer ? `^{${weight.layer}}` : "";
  if (weight.role === "recurrent") return `s${of}_{${k === "k" ? "k-1" : k - 1}}`;
  if (weight.role === "readout" || weight.role === "projection") return `s_{${k}}`;
  if (weight.role.endsWith("bias")) return "1";
  const below = network.layers[network.layers.indexOf(weight.layer) - 1];
  return below ? `s^{${below}}_{${k}}` : `x_{${k}}`;
}

function contribution(weight, k) {
  const part = backAt("parts", weight.name, k);
  const norm = backAt("norm", weight.name, k);
  const share = backAt("share", weight.name, k);
  if (norm === null) return [];
  return [
    row("contribution", part && brackets(part)),
    row("its norm", number(norm)),
    row(f(`share of ∂E_{${store.t}} / ∂${letters(weightOf(weight.name).label)}`), el("span", { class: "sized" }, percent(share), shareBar(share))),
  ];
}
