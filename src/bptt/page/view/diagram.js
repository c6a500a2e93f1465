// The network, unfolded in time or folded: built for its form, then refreshed with every change of its numbers.

import { byId, el, set, svg, write } from "./dom.js";
import { carried, DIED, gateOf, quantityName, scaleOf, shownSize, widthOf } from "./flows.js";
import { build, built, hasLane, keyOf, named, place, renumber } from "./drawing.js";
import { stepsDrawn } from "./layout.js";
import { number, roughly } from "./numbers.js";
import { pick, spoken } from "./selecting.js";
import { tex } from "./tex.js";
import { before, numbers, page, state } from "./store.js";

const THICK = 16; // pixels of the widest band
let width = 0; // of the diagram's frame; reading it makes the browser lay out the page

/** Draw the network in its frame, whose width may have changed. */
export function fitDiagram() {
  width = byId("diagram").clientWidth;
  drawDiagram();
}

/** Redraw the network where its form changed, and refresh its numbers. */
export function drawDiagram() {
  const frame = byId("diagram");
  const { network, T, t } = state;
  const steps = stepsDrawn(T, t, width);
  const hasFocus = frame.contains(document.activeElement);
  const sizes = [state.x[0].length, ...unitsByLayer(), outputs()[0].length];
  const form = [width, steps.length, steps.indexOf(0), network.cell, hasLane(), network.layers, sizes].join();
  if (built?.form !== form) {
    const u = built?.u ?? 1;
    build(network, steps, width, sizes, pick);
    built.form = form;
    frame.replaceChildren(built.root);
    place(u);
  } else renumber(steps);
  refresh();
  if (hasFocus) built.parts.get(keyOf(state.selected))?.button.focus({ preventScroll: true });
  showStepOfInterest(frame);
}

const outputs = () => numbers.pass.y;

const unitsByLayer = () => (page.recorded ? state.network.layers.map(() => 1) : numbers.pass.layers.map(({ states }) => states[0][0].length));

/** Scroll a diagram that is wider than its frame to where t stands. */
function showStepOfInterest(frame) {
  if (built.at.width > width) frame.scrollLeft = built.at.column(built.steps.indexOf(state.t)) + built.at.step - width;
}

/** Show the numbers of the present t. */
function refresh() {
  const { t, selected, k2 } = state;
  const edges = [...built.parts.values()].filter(({ isEdge }) => isEdge);
  const scale = scaleOf(edges);
  const sizes = { x: largest(state.x), y: largest(outputs()), s: page.recorded ? 1 : largest(numbers.pass.layers.flatMap(({ states }) => states.map(([h]) => h))) };
  built.steps.forEach((k, i) => {
    built.columns[i].classList.toggle("later", k > t);
    built.columns[i].classList.toggle("now", k === t);
  });
  for (const each of built.parts.values()) {
    const is = each.kind === selected.kind && each.layer === selected.layer && each.k === selected.k;
    each.group.classList.toggle("selected", is);
    each.group.classList.toggle("later", each.k > t);
    if (each.isEdge) showEdge(each, scale);
    else showNode(each, sizes);
    set(each.button, { "aria-label": spoken(each), "aria-pressed": String(is), tabindex: is ? 0 : -1 });
  }
  for (const { layer, band, size } of built.loops) {
    const edge = built.parts.get(keyOf({ kind: "s", layer, k: t }));
    const value = edge && carried(edge);
    set(band, { "stroke-width": (THICK * widthOf(value, scale)).toFixed(2) });
    write(size, value ? shownSize(value) : "");
  }
  byId("legend").replaceChildren(...legend(k2));
}

const largest = (rows) => Math.max(1e-12, ...rows.map((row) => Math.max(...Array.from(row, (value) => (Number.isFinite(value) ? Math.abs(value) : 0)))));

/** A band as wide as what it carries; dashed where that has died, and cut where a truncation ends it. */
function showEdge(each, scale) {
  const value = carried(each);
  const died = value !== null && value < DIED * scale.start;
  const width = value > 0 ? Math.max(0.6, THICK * widthOf(value, scale)) : 0;
  set(each.band, { "stroke-width": width.toFixed(2) });
  each.group.classList.toggle("dead", died && value > 0);
  const isCut = state.k2 !== null && each.k === numbers.found.first && each.k > 1 && (each.kind === "s" || each.kind === "lane");
  each.group.classList.toggle("cut", isCut);
  const was = before?.found && before.found.t === numbers.found.t && each.k <= numbers.pass.y.length ? carried(each, before) : null;
  set(each.ghost, { "stroke-width": was > 0 && Math.abs(was - (value ?? 0)) > 1e-3 * scale.most ? (THICK * Math.min(1.6, widthOf(was, scale))).toFixed(2) : 0 });
  const shown = built.at.roomy || each.kind === "s" || each.kind === "lane";
  const size = () => (died && value > 0 ? "died" : built.at.roomy ? shownSize(value) : roughly(value, state.quantity));
  const text = isCut ? "cut" : shown && value !== null ? size() : "";
  const isGhost = text && each.ghost.getAttribute("stroke-width") > 0 && built.at.step > 180 && (each.kind === "s" || each.kind === "lane");
  write(each.size, text + (isGhost ? ` was ${shownSize(was)}` : ""), () => [text, isGhost ? svg("tspan", { class: "was" }, ` was ${shownSize(was)}`) : ""]);
  if (each.kind === "s") writeWeight(each, "W", "s");
  if (each.kind === "lane") writeLane(each);
}

function writeWeight(each, letter, below) {
  const isShort = each.i === 0;
  const above = state.network.layers.length > 1 ? `(${state.network.layers.indexOf(each.layer) + 1})` : "";
  write(each.over, built.at.roomy && !isShort ? letter + below + above : "", (text) => (text ? named(letter, below, above) : []));
}

function writeLane(each) {
  const { letter, mean } = gateOf(each);
  set(each.forward, { style: `stroke-width:${(0.5 + 3 * mean).toFixed(2)}` });
  write(each.over, built.at.roomy && each.i > 0 ? `${letter} ${mean.toFixed(2)}` : "");
}

function showNode(each, sizes) {
  const { kind, k, layer } = each;
  if (kind === "node E") {
    write(each.name, `E${k}`, () => named("E", String(k)));
    each.name.classList.toggle("long", k > 99);
    return write(each.size, k === state.t && built.at.roomy ? number(numbers.pass.errors[k - 1], 3) : "");
  }
  const letter = kind.at(-1);
  const values = valuesOf(each);
  each.dots.forEach((dot, i) => {
    const value = values[i] ?? 0;
    const size = Math.min(1, Math.sqrt(Math.abs(value) / sizes[letter]));
    set(dot, { r: value === 0 ? 0 : Math.max(0.8, dot.dataset.most * (Number.isFinite(size) ? size : 1)).toFixed(2), class: value < 0 ? "dot below" : "dot above" });
  });
  if (each.token) write(each.token, tokenOf(values));
  const above = letter === "s" && state.network.layers.length > 1 ? `(${state.network.layers.indexOf(layer) + 1})` : "";
  write(each.name, letter + k + above, () => named(letter, String(k), above));
  if (each.c) write(each.c, `c${k}`, () => named("c", String(k)));
}

/** The values of a node; of an LSTM's state those of s, then those of c. */
function valuesOf({ kind, layer, k }) {
  const shownRows = { "node x": () => inputAt(state.x, k), "node y": () => outputs()[k - 1] };
  if (shownRows[kind]) return shownRows[kind]();
  if (page.recorded) return [];
  return numbers.pass.layers[state.network.layers.indexOf(layer)].states[k].flatMap((part) => [...part.slice(0, 16)]);
}

const inputAt = (rows, k) => rows[state.grows === "end" ? k - 1 : rows.length - state.T + k - 1];

/** Show some edges and their ends, the rest faint; null shows everything again. */
export function light(keys, from = []) {
  built.root.classList.toggle("tracing", keys !== null);
  for (const [key, { group }] of built.parts) {
    group.classList.toggle("on", keys !== null && (keys.includes(key) || from.includes(key)));
    group.classList.toggle("lit", keys !== null && keys.includes(key));
  }
}

/** The character that one-hot inputs name, or the likeliest one by the outputs. */
function tokenOf(values) {
  const label = page.labels[values.indexOf(Math.max(...values))];
  return { " ": "␣", "\n": "↵", "\t": "⇥" }[label] ?? label;
}

function legend(k2) {
  const key = (name, ...text) => el("span", { class: `key ${name}` }, el("i", { "aria-hidden": "true" }), el("span", {}, ...text));
  const words = quantityName().map((text) => (text.startsWith("\\") ? tex(text) : text));
  return [
    key("forward", "values, forward; ● above 0, ○ below"),
    key("band", "back: ", ...words),
    built.root.querySelector(".dead") ? key("died", "below 10⁻⁶ of the start: it has died") : "",
    hasLane() ? key("lane", `the way past the matrix, as wide as ${{ elman: "1 − α", gru: "z is open", lstm: "f, the forget gate, is open" }[state.network.cell]}`) : "",
    k2 === null ? "" : key("cut", `cut: k2 = ${k2}`),
  ];
}
