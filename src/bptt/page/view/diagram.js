// The network, unfolded in time or folded: built for its form, then refreshed with every change of its numbers.

import { byId, el, set, svg, write } from "./dom.js";
import { carried, DIED, quantityName, scaleOf, widthOf } from "./flows.js";
import { dotPlaces, layout, line, loop, stepsDrawn } from "./layout.js";
import { number, percent, roughly } from "./numbers.js";
import { tex } from "./tex.js";
import { before, look, numbers, page, state, stepName, weightOf } from "./store.js";

const THICK = 16; // pixels of the widest band

let built = null;

export const diagram = () => built;

/** Whether a layer has a way through time beside W_s: an LSTM's cell state, a GRU's z, a leak. */
export const hasLane = () => !page.recorded && (state.network.cell !== "elman" || state.network.leak !== 1);

/** Redraw the network where its form changed, and refresh its numbers. */
export function drawDiagram() {
  const frame = byId("diagram");
  const { network, T, t } = state;
  const steps = stepsDrawn(T, t, frame.clientWidth);
  const sizes = [state.x[0].length, ...unitsByLayer(), outputs()[0].length];
  const form = [frame.clientWidth, steps, network.cell, hasLane(), network.layers, sizes].join();
  if (built?.form !== form) {
    const u = built?.u ?? 1;
    built = build(network, steps, frame.clientWidth, sizes);
    built.form = form;
    frame.replaceChildren(built.root);
    place(u);
  }
  refresh();
  showStepOfInterest(frame);
}

const outputs = () => numbers.pass.y;

const unitsByLayer = () => (page.recorded ? state.network.layers.map(() => 1) : numbers.pass.layers.map(({ states }) => states[0][0].length));

/** Scroll a diagram that is wider than its frame to where t stands. */
function showStepOfInterest(frame) {
  if (built.at.width > frame.clientWidth) frame.scrollLeft = built.at.column(built.steps.indexOf(state.t)) + built.at.step - frame.clientWidth;
}

function build(network, steps, width, [inputs, ...units]) {
  const at = layout(network.layers, steps.length, width, hasLane());
  const root = svg("svg", { xmlns: "http://www.w3.org/2000/svg", width: at.width, height: at.height, viewBox: `0 0 ${at.width} ${at.height}`, role: "group", "aria-label": "The network, unfolded in time. Arrow keys move through it." });
  built = { root, at, steps, parts: new Map(), columns: [], loops: [], u: 1 };
  const edges = svg("g");
  const nodes = svg("g");
  steps.forEach((k, i) => {
    const column = svg("g", { class: "column" });
    built.columns.push(column);
    nodes.append(column);
    if (k === 0) return column.append(...network.layers.map((layer) => svg("text", { class: "name", y: at.rows[layer] + 5 }, "⋯")));
    const add = (kind, layer, target, ...children) => target.append(part(kind, layer, k, i, children).group);
    const ends = verticalEnds(at, network.layers);
    for (const [kind, layer, from, to] of ends) add(kind, layer, column, ...verticalEdge(from, to, kind, at));
    for (const layer of network.layers) {
      add("s", layer, edges, ...horizontalEdge(at));
      if (hasLane()) add("lane", layer, edges, ...horizontalEdge(at));
    }
    network.layers.forEach((layer, l) => add("node s", layer, column, ...stateNode(at, layer, units[l])));
    add("node x", null, column, ...vectorNode(at, at.rows.x, inputs));
    add("node y", null, column, ...vectorNode(at, at.rows.y, units.at(-1)));
    add("node E", null, column, svg("circle", { class: "box", cy: at.rows.E, r: 17 }), svg("text", { class: "name", y: at.rows.E + 5 }), svg("text", { class: "size", y: at.rows.E + 5, x: 23 }));
  });
  for (const layer of network.layers) built.loops.push(loopOf(layer, at));
  built.first = svg("text", { class: "name" }, ...named("s", "0"));
  root.append(svg("defs", {}, marker()), ...built.loops.map(({ group }) => group), built.first, edges, nodes, svg("circle", { class: "pulse", r: 5, cx: -20 }));
  return built;
}

function marker() {
  const shape = { id: "arrow", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 11, markerHeight: 11, markerUnits: "userSpaceOnUse", orient: "auto" };
  return svg("marker", shape, svg("path", { d: "M0 .8L7.4 4L0 7.2z" }));
}

const named = (letter, below, above = "") => [svg("tspan", { class: "letter" }, letter), svg("tspan", { class: "below", dy: 4 }, below), ...(above ? [svg("tspan", { class: "below", dy: -9 }, above)] : [])];

/** A part that can be chosen; edges know the step at which they end. */
function part(kind, layer, k, i, children) {
  const shapes = children.filter((child) => child && child.tagName !== "text");
  const texts = children.filter((child) => child?.tagName === "text"); // its label says them in words
  const button = svg("g", { role: "button", tabindex: -1 }, ...shapes);
  const group = svg("g", { class: `part ${kind}` }, button, svg("g", { "aria-hidden": "true" }, ...texts));
  const found = { kind, layer, k, i, group, button, isEdge: !kind.startsWith("node") };
  for (const name of ["band", "ghost", "forward", "hit", "size", "died"]) found[name] = group.querySelector(`.${name}`);
  found.name = group.querySelector("text.name");
  found.token = group.querySelector("text.token");
  found.dots = [...group.querySelectorAll(".dot")];
  group.addEventListener("click", (event) => {
    event.stopPropagation();
    pick(found);
  });
  built.parts.set(keyOf(found), found);
  return found;
}

export const keyOf = ({ kind, layer, k }) => `${kind} ${layer ?? ""} ${k}`;

function verticalEnds(at, layers) {
  const half = at.high / 2 + 2;
  const ends = [["E", null, at.rows.y - 19, at.rows.E + 19], ["y", null, at.rows[layers.at(-1)] - half, at.rows.y + 19]];
  layers.forEach((layer, l) => ends.push(["in", layer, l ? at.rows[layers[l - 1]] - half : at.rows.x - 19, at.rows[layer] + half]));
  return ends;
}

const strokes = () => [svg("path", { class: "ghost" }), svg("path", { class: "band", pathLength: 1 }), svg("path", { class: "forward", pathLength: 1, "marker-end": "url(#arrow)" })];

/** The forward arrow up on the left, the gradient's band down on the right. */
function verticalEdge(from, to, kind, at) {
  const [ghost, band, forward] = strokes();
  set(forward, { d: line(-7, from, -7, to) });
  for (const path of [ghost, band]) set(path, { d: line(8, to + 1, 8, from - 1) });
  const middle = (from + to) / 2 + 4;
  const letters = { in: ["W", "x"], y: ["W", "y"] }[kind];
  return [
    svg("rect", { class: "hit", x: -18, y: to, width: 40, height: from - to }), ghost, band, forward,
    letters && at.roomy ? svg("text", { class: "name weight", x: -13, y: middle }, ...named(...letters)) : null,
    svg("text", { class: "size", x: 19, y: middle }),
  ];
}

/** The edge from the step before: forward above, the gradient's band below; placed by `place`. */
function horizontalEdge() {
  return [svg("path", { class: "hit" }), ...strokes(), svg("text", { class: "name weight over" }), svg("text", { class: "size under" })];
}

function vectorNode(at, y, count) {
  const width = Math.min(60, at.step * 0.6);
  return [box(at.step * 0.6 < 34 ? width : Math.max(34, width * 0.8), 34, y), ...(page.labels.length ? [svg("text", { class: "token", y: y + 6 })] : dots(count, width, 34, y)), svg("text", at.roomy ? { class: "name beside", x: -width / 2 - 3, y: y - 8 } : { class: y === at.rows.x ? "name" : "name hidden", y: y + 32 })];
}

function stateNode(at, layer, count) {
  const y = at.rows[layer];
  if (state.network.cell !== "lstm") return [box(at.box, at.high, y), ...dots(count, at.box, Math.min(at.high, at.box), y), nodeName(at, y)];
  const half = at.high / 2;
  return [
    box(at.box, at.high, y), svg("path", { class: "split", d: line(-at.box / 2, y, at.box / 2, y) }), ...dots(count, at.box, half, y - half / 2), ...dots(count, at.box, half, y + half / 2),
    nodeName(at, y), at.roomy ? svg("text", { class: "name beside c", x: -at.box / 2 - 3, y: y + half - 2 }) : null,
  ];
}

const nodeName = (at, y) => svg("text", at.roomy ? { class: "name beside", x: -at.box / 2 - 3, y: y - at.high / 2 + 6 } : { class: "name hidden", y });

const box = (width, height, y) => svg("rect", { class: "box", x: -width / 2, y: y - height / 2, width, height, rx: 9 });

const dots = (count, width, height, y) =>
  dotPlaces(count, width, height).map((place) => svg("circle", { class: "dot", cx: place.x.toFixed(1), cy: (y + place.y).toFixed(1), "data-most": place.most }));

function loopOf(layer, at) {
  const y = at.rows[layer];
  const right = at.middle + at.box / 2 + 62;
  const band = svg("path", { class: "band", d: loop(at.middle, y, at.box, 9) });
  const size = svg("text", { class: "size", x: right - 4, y: y + 15 });
  const forward = svg("path", { class: "forward", d: loop(at.middle, y, at.box), "marker-end": "url(#arrow)" });
  return { layer, band, size, group: svg("g", { class: "loop", "aria-hidden": "true" }, band, forward, svg("text", { class: "name weight", x: right + 4, y: y - 4 }, ...named("W", "s")), size) };
}

function pick({ kind, layer, k }) {
  if (!state.unfolded) return look({ unfolded: true });
  const weight = state.network.weights.find((w) => w.layer === layer && { in: "input", s: "recurrent", y: "readout" }[kind] === w.role);
  const chosen = weight ? { weight: weight.name, ...(weightOf(state.quantity) ? { quantity: weight.name } : {}) } : {};
  look({ selected: { kind, layer, k }, beat: null, ...chosen, ...(kind === "node E" ? { t: k } : {}) });
}

/** Put everything where it stands at u, from folded (0) to unfolded (1). */
export function place(u) {
  const { at, steps, columns, loops, first, parts } = built;
  const now = steps.indexOf(state.t);
  const x = columns.map((_, i) => at.middle + (at.column(i) - at.middle) * u);
  columns.forEach((column, i) => {
    set(column, { transform: `translate(${x[i].toFixed(1)} 0)` });
    column.style.opacity = i === now ? 1 : u;
    column.style.visibility = i !== now && u === 0 ? "hidden" : "";
  });
  for (const each of parts.values()) {
    if (each.kind !== "s" && each.kind !== "lane") continue;
    const { i } = each;
    const y = each.kind === "s" ? at.linkY(each.layer) : at.laneY(each.layer);
    const from = i ? x[i - 1] + (steps[i - 1] ? at.box / 2 : 12) : x[0] - (at.box / 2 + Math.min(40, at.step - at.box)) * u - 2;
    const to = x[i] - at.box / 2;
    set(each.forward, { d: line(from + 2, y - 8, to - 2, y - 8) });
    for (const path of [each.band, each.ghost]) set(path, { d: line(to, y + 8, from, y + 8) });
    set(each.hit, { d: line(from, y, to, y) });
    set(each.size, { x: (from + to) / 2, y: y + 26 });
    set(each.group.querySelector(".over"), { x: (from + to) / 2 - (at.step < 110 ? 6 : 0), y: y - 14 });
    each.group.style.opacity = u === 1 ? "" : Math.max(0, 2 * u - 1); // at rest the style sheet says
    each.group.style.visibility = u === 0 ? "hidden" : "";
  }
  for (const { group } of loops) group.style.opacity = Math.max(0, 1 - 2 * u);
  first.style.opacity = Math.max(0, 2 * u - 1);
  set(first, { x: x[0] - at.box / 2 - Math.min(40, at.step - at.box) - 12, y: at.rows[state.network.layers[0]] + 4 });
  built.u = u;
}

/** Show the numbers of the present t. */
export function refresh() {
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

/** The chosen quantity as a label. */
const shownSize = (value) => (state.quantity === "percent" ? percent(value) : number(value, 3));

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
  const over = each.group.querySelector(".over");
  const isShort = each.i === 0;
  const above = state.network.layers.length > 1 ? `(${state.network.layers.indexOf(each.layer) + 1})` : "";
  write(over, built.at.roomy && !isShort ? letter + below + above : "", (text) => (text ? named(letter, below, above) : []));
}

/** What the way beside W_s is multiplied with at this step: the mean of the forget gate f, of z, or 1 - α. */
export function gateOf({ layer, k }) {
  const { cell, leak } = state.network;
  if (cell === "elman") return { letter: "1−α", mean: 1 - leak };
  const kept = numbers.pass.layers[state.network.layers.indexOf(layer)].kept[k - 1];
  const gate = cell === "lstm" ? kept.f : kept.z;
  return { letter: cell === "lstm" ? "f" : "z", mean: gate.reduce((a, b) => a + b) / gate.length };
}

function writeLane(each) {
  const { letter, mean } = gateOf(each);
  set(each.forward, { style: `stroke-width:${(0.5 + 3 * mean).toFixed(2)}` });
  write(each.group.querySelector(".over"), built.at.roomy && each.i > 0 ? `${letter} ${mean.toFixed(2)}` : "");
}

function showNode(each, sizes) {
  const { kind, k, layer } = each;
  if (kind === "node E") {
    write(each.name, `E${k}`, () => named("E", String(k)));
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
  const c = each.group.querySelector("text.c");
  if (c) write(c, `c${k}`, () => named("c", String(k)));
}

/** The character that one-hot inputs name, or the likeliest one by the outputs. */
export function tokenOf(values) {
  const label = page.labels[values.indexOf(Math.max(...values))];
  return { " ": "␣", "\n": "↵", "\t": "⇥" }[label] ?? label;
}

/** The values of a node; of an LSTM's state those of s, then those of c. */
function valuesOf({ kind, layer, k }) {
  const shownRows = { "node x": () => inputAt(state.x, k), "node y": () => outputs()[k - 1] };
  if (shownRows[kind]) return shownRows[kind]();
  if (page.recorded) return [];
  return numbers.pass.layers[state.network.layers.indexOf(layer)].states[k].flatMap((part) => [...part.slice(0, 16)]);
}

const inputAt = (rows, k) => rows[state.grows === "end" ? k - 1 : rows.length - state.T + k - 1];

function spoken(each) {
  const { kind, layer, k, isEdge } = each;
  const of = layer && state.network.layers.length > 1 ? ` of layer ${state.network.layers.indexOf(layer) + 1}` : "";
  const words = { "node E": "error E", "node y": "output y", "node x": "input x", "node s": "state s", E: "edge from y to E", y: "edge W y", in: "edge W x", s: "edge W s from the step before", lane: "edge beside W s from the step before" };
  const value = isEdge ? carried(each) : kind === "node E" ? numbers.pass.errors[k - 1] : null;
  return `${words[kind]}${of} at ${stepName(k)}${value === null ? "" : `, ${isEdge ? shownSize(value) : number(value)}`}`;
}

/** The parts of a column from top to bottom, as the arrow keys walk them. */
const ladder = () => [["node E", null], ["E", null], ["node y", null], ["y", null], ...[...state.network.layers].reverse().flatMap((layer) => [["node s", layer], ["s", layer], ...(hasLane() ? [["lane", layer]] : []), ["in", layer]]), ["node x", null]];

/** Move the selection by arrow keys: left and right in time, up and down within a step. */
export function onDiagramKey(event) {
  const { kind, layer, k } = state.selected;
  if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    return pick(state.selected);
  }
  const move = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
  if (!move || !state.unfolded) return;
  event.preventDefault();
  const rungs = ladder();
  const rung = rungs.findIndex(([a, b]) => a === kind && b === layer);
  const drawn = built.steps.filter(Boolean);
  const column = Math.min(drawn.length - 1, Math.max(0, drawn.indexOf(k) + move[1]));
  const [newKind, newLayer] = rungs[Math.min(rungs.length - 1, Math.max(0, rung + move[0]))];
  look({ selected: { kind: newKind, layer: newLayer, k: drawn[column] }, beat: null });
  const target = built.parts.get(keyOf(state.selected));
  target?.button.focus({ preventScroll: true });
}

/** Show some edges and their ends, the rest faint; null shows everything again. */
export function light(keys, from = []) {
  built.root.classList.toggle("tracing", keys !== null);
  for (const [key, { group }] of built.parts) {
    group.classList.toggle("on", keys !== null && (keys.includes(key) || from.includes(key)));
    group.classList.toggle("lit", keys !== null && keys.includes(key));
  }
}

function legend(k2) {
  const key = (name, ...text) => el("span", { class: `key ${name}` }, el("i", { "aria-hidden": "true" }), el("span", {}, ...text));
  const words = quantityName().map((text) => (text.startsWith("\\") ? tex(text) : text));
  return [
    key("forward", "values, forward; ● above 0, ○ below"),
    key("band", "back: ", ...words),
    built.root.querySelector(".dead") ? key("died", "below 10⁻⁶ of the start: it has died") : "",
    hasLane() ? key("lane", `the way past the matrix, as wide as ${{ elman: "1 − α", gru: "z", lstm: "f, the forget gate," }[state.network.cell]} is open`) : "",
    k2 === null ? "" : key("cut", `cut: k2 = ${k2}`),
  ];
}

