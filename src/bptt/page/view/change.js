// Changing the network and its sequence: weights, Φ, the leak, the loss, T, x and d, all in place.

import { byId, el } from "./dom.js";
import { field, keep } from "./fields.js";
import { edit, canUndo, page, shown, state, undo, weightOf } from "./store.js";
import { spectralRadius } from "../compute/dynamics.js";
import { tex } from "./tex.js";

const LARGEST = 1e6; // of a number that may be entered
const GRID = 16; // rows and columns of a matrix that can be edited
const FITTING = 4; // columns that a telephone has width for
const EDITED = 12; // rows of the sequence that can be edited, the last ones up to t
const TOGETHER = 60; // numbers of weights up to which all matrices stand side by side

const refused = (name, value, wanted) => `${name} must be ${wanted}${Number.isNaN(value) ? "" : `, not ${value}`}`;

const inRange = (name, value) => (Math.abs(value) <= LARGEST ? null : refused(name, value, `a number from −${LARGEST} to ${LARGEST}`));

export function setUpChange() {
  byId("change").hidden = Boolean(page.recorded);
  byId("limits").textContent = page.recorded ? "This network is too large to compute with in a page (64 units, 500 steps): what is shown was recorded by Python." : "";
  byId("undo").hidden = Boolean(page.recorded);
  if (page.recorded) return;
  byId("activation").addEventListener("change", (event) => edit({ network: { ...state.network, activation: event.target.value } }));
  byId("loss").addEventListener("change", (event) => edit(withLoss(event.target.value)));
  byId("which").addEventListener("change", showWeights);
  byId("undo").addEventListener("click", undo);
  addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key === "z" && !event.target.matches("input, textarea")) {
      event.preventDefault();
      undo();
    }
  });
  byId("leak-place").append(field(1, "leak α", (value, same) => take(same, value > 0 && value <= 1, refused("the leak α", value, "above 0 and at most 1"), { network: { ...state.network, leak: value } })));
  byId("steps-place").append(field(1, "steps T", takeSteps, 0.1));
  byId("k2-place").append(field(NaN, "k2, empty for all", takeTruncation, 0.1));
  byId("radius-place").append(field(1, "spectral radius of W_s", takeRadius));
  showChange();
}

function take(same, ok, why, changes) {
  if (!ok) return why;
  edit(changes, same);
  return null;
}

function takeSteps(value, same) {
  const most = state.x.length;
  const T = Math.round(value);
  const atEnd = state.t === state.T; // t goes along with the end
  return take(same, T >= 1 && T <= most, refused("T", value, `a whole number from 1 to ${most}`), { T, ...(atEnd ? { t: T, selected: { ...state.selected, k: T } } : {}) });
}

function takeTruncation(value, same) {
  if (Number.isNaN(value)) return take(same, true, null, { k2: null });
  return take(same, value >= 1, refused("k2", value, "a whole number from 1 on, or empty for all steps"), { k2: Math.round(value) });
}

/** Scale W_s of every layer so that its spectral radius is the value. */
function takeRadius(value, same) {
  if (!(value >= 0 && value <= 100)) return refused("ρ(W_s)", value, "a number from 0 to 100");
  const weights = state.network.weights.map((weight) => {
    const now = radiusOf(weight);
    return weight.role === "recurrent" && now > 0 ? { ...weight, values: weight.values.map((row) => row.map((entry) => (entry * value) / now)) } : weight;
  });
  return take(same, true, null, { network: { ...state.network, weights } });
}

const radiusOf = ({ values }) => (values.length === values[0].length ? spectralRadius(values) : NaN);

/** Another loss, with targets of its kind: vectors, or class numbers. */
function withLoss(loss) {
  const outputs = state.network.weights.find((weight) => weight.role === "readout").values[0].length;
  const areClasses = typeof state.d[0] === "number";
  const d =
    areClasses === (loss === "cross_entropy") ? state.d
    : areClasses ? state.d.map((c) => Array.from({ length: outputs }, (_, i) => Number(i === c)))
    : state.d.map((row) => row.indexOf(Math.max(...row)));
  return { network: { ...state.network, loss }, d };
}

/** Show in the controls what holds now. */
export function showChange() {
  if (page.recorded) return;
  const { network, T, k2 } = state;
  const gated = network.cell !== "elman";
  byId("elman-only").hidden = gated;
  byId("radius-label").hidden = gated;
  fill("activation", page.choices.activations, network.activation);
  fill("loss", state.text === null ? lossesFor(network) : [network.loss], network.loss);
  keep(byId("leak-place"), [kept("leak α", network.leak)]);
  keep(byId("steps-place"), [kept("steps T", T)]);
  keep(byId("k2-place"), [kept("k2, empty for all", k2 ?? NaN)]);
  if (!gated) keep(byId("radius-place"), [kept("spectral radius of W_s", radiusOf(network.weights.find(({ role }) => role === "recurrent")))]);
  byId("undo").disabled = !canUndo();
  const many = network.weights.flatMap(({ values }) => values.flat()).length > TOGETHER;
  const which = byId("which");
  which.parentElement.hidden = !many;
  if ([...which.options].map(({ value }) => value).join() !== network.weights.map(({ name }) => name).join()) {
    which.replaceChildren(...network.weights.map(({ name, latex }) => el("option", { value: name }, latex.replace(/[{}]/g, ""))));
    which.value = state.weight;
  }
  showWeights();
  showSequence();
}

const kept = (name, value) => Object.assign(el("input", { "data-key": name }), { kept: value });

const lossesFor = (network) => (network.cell === page.network.cell ? page.choices.losses : [network.loss]);

function fill(id, names, chosen) {
  const select = byId(id);
  if ([...select.options].map(({ value }) => value).join() !== names.join()) select.replaceChildren(...names.map((name) => el("option", { value: name }, name.replace("_", " "))));
  select.value = chosen;
}

function showWeights() {
  const shownWeights = byId("which").parentElement.hidden ? state.network.weights : [weightOf(byId("which").value)];
  keep(byId("weights"), shownWeights.map(weightGrid));
}

function weightGrid(weight) {
  const isMatrix = Array.isArray(weight.values[0]);
  const rows = isMatrix ? weight.values : [weight.values];
  const edited = (i, j) => (value, same) => {
    const now = weightOf(weight.name).values;
    const put = (row) => row.map((entry, column) => (column === j ? value : entry));
    const values = isMatrix ? now.map((row, n) => (n === i ? put(row) : row)) : put(now);
    const weights = state.network.weights.map((other) => (other.name === weight.name ? { ...other, values } : other));
    return inRange("a weight", value) ?? (edit({ network: { ...state.network, weights } }, same), null);
  };
  const [x, y] = { input: ["x", "gates"], recurrent: ["s", "gates"], readout: ["s", "y"] }[weight.role] ?? ["", ""];
  const name = weight.name === weight.latex ? "" : ` ${weight.name}${weight.layer && isMatrix ? "ᵀ" : ""}`;
  const caption = el("figcaption", {}, tex(weight.latex), el("small", {}, `${isMatrix ? `${rows.length} × ${rows[0].length}` : rows[0].length}${name}`));
  return el("figure", { class: "grid", title: x && `rows: ${x}, columns: ${state.network.cell === "elman" && y === "gates" ? "s" : y}` }, caption, grid(rows, (i, j) => `${weight.latex.replace(/[{}^]/g, "")}, row ${i + 1}, column ${j + 1}`, edited, gatesOf(weight)));
}

/** The gates whose columns stand side by side in a weight; none of an Elman cell. */
function gatesOf({ role }) {
  const letters = { elman: [], gru: ["r", "z", "n"], lstm: ["i", "f", "g", "o"] }[state.network.cell];
  return /^(input|recurrent)/.test(role) ? letters : [];
}

function grid(rows, name, edited, gates) {
  const cut = rows.length > GRID || rows[0].length > GRID;
  const body = rows.slice(0, GRID).map((row, i) => el("tr", {}, ...Array.from(row.slice(0, GRID), (value, j) => el("td", {}, field(value, name(i, j), edited(i, j))))));
  const size = rows[0].length / gates.length;
  if (gates.length && rows[0].length <= GRID) body.unshift(el("tr", {}, ...gates.map((gate) => el("td", { colspan: size, class: "gate" }, gate))));
  const goesOn = cut || gates.length > 0 || rows[0].length > FITTING;
  return el("div", { class: goesOn ? "wide faded" : "wide", tabindex: goesOn ? 0 : null, role: "group", "aria-label": "entries" }, el("table", { role: "presentation" }, ...body), cut ? el("small", {}, `the first ${GRID} rows and columns`) : null);
}

/** The last steps up to t, their x and d to be edited. */
function showSequence() {
  const first = Math.max(1, state.t - EDITED + 1);
  const steps = Array.from({ length: Math.min(EDITED, state.t) }, (_, i) => first + i);
  const [x, d] = [shown(state.x), shown(state.d)];
  const wide = x[0].length > 8;
  byId("sequence-says").textContent = wide ? "x has too many entries to be edited one by one." : first > 1 ? `The last ${EDITED} steps up to t.` : "";
  if (wide) return byId("sequence").replaceChildren();
  const classes = typeof d[0] === "number";
  const outputs = state.network.weights.find(({ role }) => role === "readout").values[0].length;
  const set_ = (part, k, j) => (value, same) => {
    const rows = state[part];
    const row = state.grows === "end" ? k - 1 : rows.length - state.T + k - 1;
    if (part === "d" && classes && !(Number.isInteger(value) && value >= 0 && value < outputs)) return refused("a class", value, `a whole number from 0 to ${outputs - 1}`);
    const put = (old) => (Array.isArray(old) ? old.map((entry, n) => (n === j ? value : entry)) : value);
    return inRange(`${part} at step ${k}`, value) ?? (edit({ [part]: rows.map((old, n) => (n === row ? put(old) : old)) }, same), null);
  };
  const cells = (part, k, row) => [row].flat().map((value, j) => el("td", {}, field(value, `${part}${j + 1} at step ${k}`, set_(part, k, j), part === "d" && classes ? 1 : 0.01)));
  const head = el("tr", {}, el("th", { scope: "col" }, "step"), ...x[0].map((_, j) => el("th", { scope: "col" }, tex(x[0].length > 1 ? `x_{${j + 1}}` : "x"))), ...[d[0]].flat().map((_, j) => el("th", { scope: "col" }, classes ? "class d" : tex([d[0]].flat().length > 1 ? `d_{${j + 1}}` : "d"))));
  const body = steps.map((k) => el("tr", { class: k === state.t ? "now" : null }, el("th", { scope: "row" }, String(k)), ...cells("x", k, x[k - 1]), ...cells("d", k, d[k - 1])));
  keep(byId("sequence"), [el("table", {}, el("thead", {}, head), el("tbody", {}, ...body))]);
  [...byId("sequence").querySelectorAll("tbody tr")].forEach((row, i) => row.classList.toggle("now", steps[i] === state.t));
}

