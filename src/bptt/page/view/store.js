// What the page shows, in one place: the network and its sequence as they are now, what is looked at, and undo.

import { backward, contributions, forward, networkOf } from "../compute/network.js";
import { recordedPasses } from "./recorded.js";

const listeners = [];
const past = []; // earlier states, for undo
const MOST = 200; // of them

/** What a reader changes; it is replaced, never altered in place. */
export let state = null;

/** The numbers that follow from it: {network, pass, found}; found is the backward pass of E_t. */
export let numbers = null;

/** The numbers before the last edit, for its ghosts; null where there was none. */
export let before = null;

export let page = null; // the document

/** Call listener(what) after each change: the names of the fields that changed, and "numbers" where they did. */
export const onChange = (listener) => listeners.push(listener);

export function start(document, first) {
  page = document;
  state = first;
  compute();
}

const COMPUTED = ["network", "x", "d", "T", "k2"];

/** Look elsewhere: at another t, another matrix, another part of the diagram. */
export const look = (changes) => apply(changes);

/** Change the network, its sequence or how far the error goes back; `same` joins it to the edit before, as a drag does. */
export function edit(changes, same = false) {
  if (!same) remember();
  apply(changes);
}

export function remember() {
  past.push(state);
  if (past.length > MOST) past.shift();
  before = numbers;
}

export const canUndo = () => past.length > 0;

export function undo() {
  if (!past.length) return;
  const last = past.pop();
  before = null;
  apply(last);
}

function apply(changes) {
  const what = new Set(Object.keys(changes).filter((name) => changes[name] !== state[name]));
  state = { ...state, ...changes };
  state.t = Math.min(state.t, state.T);
  if (state.selected.k > state.T) state.selected = { ...state.selected, k: state.T };
  if ([...what].some((name) => COMPUTED.includes(name))) {
    what.add("numbers");
    compute();
  } else if (what.has("t")) {
    before = null;
    goBack();
  }
  for (const listener of listeners) listener(what);
}

/** The rows that are shown of the longest sequence. */
export const shown = (rows, { T, grows } = state) => (grows === "end" ? rows.slice(0, T) : rows.slice(rows.length - T));

function compute() {
  if (page.recorded) numbers = recordedPasses(page.recorded, state);
  else {
    const network = networkOf(state.network);
    numbers = { network, pass: forward(network, shown(state.x), shown(state.d)), found: null };
    goBack();
  }
}

function goBack() {
  if (page.recorded) numbers = recordedPasses(page.recorded, state);
  else numbers = { ...numbers, found: backward(numbers.network, numbers.pass, state.t, state.k2 ?? Infinity), parts: {} };
}

/** ∂E_t/∂W of a weight with every step's part of it, computed once. */
export function partsOf(name) {
  if (page.recorded) return numbers.parts[name];
  const weight = weightOf(name);
  numbers.parts[name] ??= contributions(weight, state.network.layers, numbers.pass, numbers.found);
  return numbers.parts[name];
}

export const weightOf = (name) => state.network.weights.find((weight) => weight.name === name);

/** The weight with a role in a layer, or of the read-out. */
export const weightAt = (role, layer = null) => state.network.weights.find((weight) => weight.role === role && weight.layer === layer);

/** The formulas of the network as it is now. */
export function formulas() {
  const { cell, loss, leak } = state.network;
  const known = page.formulas[cell][loss];
  return (cell === "elman" && leak !== 1 && known.leaky) || known.plain;
}

/** How step k is called: its number, and its label where there is one. */
export function stepName(k) {
  const label = page.times && shown(page.times)[k - 1];
  return label === null || label === undefined ? `step ${k}` : `step ${k} (${label})`;
}

const PHI = { tanh: "\\tanh" };

/** A formula with the activation and the leak there are now. */
export function present(line) {
  const { activation, leak } = state.network;
  const phi = PHI[activation] ?? `\\mathrm{${activation}}`;
  return line.replace(/\\Phi = (\\tanh|\\mathrm\{\w+\})/, `\\Phi = ${phi.replace("\\", "\\")}`).replace(/\\alpha = [\d.]+/, `\\alpha = ${Number(leak.toPrecision(3))}`);
}
