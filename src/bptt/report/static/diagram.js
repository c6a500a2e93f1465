// The network, folded and unfolded: built once for a number of steps, then only refreshed.

import { byId, el, set, svg, write } from "./dom.js";
import { number, roughly } from "./format.js";
import { dotPlaces, layout, line, loop } from "./layout.js";
import { backAt, change, stepName, store, weightsOf } from "./store.js";

const MOST = 24; // steps drawn at once
const THICK = 15; // pixels of the widest band

let built = null; // what stands in the page now

/** The first step drawn, and how many. */
export function drawn() {
  const n = Math.min(store.network.steps, MOST);
  return { first: Math.max(1, store.t - n + 1), n };
}

/** Redraw the network where its form changed, and refresh its numbers. */
export function drawDiagram() {
  const frame = byId("diagram");
  const { network } = store;
  const { n } = drawn();
  const form = [frame.clientWidth, n, network.layers, network.x[0].length, network.units].join();
  if (built?.form !== form) {
    built = build(network, n, frame.clientWidth);
    built.form = form;
    frame.replaceChildren(built.root);
    place(store.unfolded ? 1 : 0);
  }
  refresh();
  showStepOfInterest(frame);
}

/** Scroll a diagram that is wider than its frame to where t stands, the steps before it in view. */
function showStepOfInterest(frame) {
  const { at } = built;
  if (at.width <= frame.clientWidth) return;
  const t = store.unfolded ? at.column(store.t - drawn().first) : at.middle + frame.clientWidth / 2 - at.step;
  frame.scrollLeft = t + at.step - frame.clientWidth;
}

export const diagram = () => built;

function build(network, n, width) {
  const at = layout(network.layers, n, width);
  const root = svg("svg", {
    width: at.width,
    height: at.height,
    viewBox: `0 0 ${at.width} ${at.height}`,
    role: "group",
    "aria-label": "The network, unfolded in time. Arrow keys move through it.",
  });
  const columns = Array.from({ length: n }, (_, i) => column(network, at, i));
  const layers = [...network.layers].reverse();
  const links = columns.map((_, i) => layers.map((layer) => link(layer, i)));
  const loops = layers.map((layer) => loopOf(layer, at));
  const before = svg("g", { class: "before" }, svg("text", { class: "name" }), svg("text", { class: "size", y: 16 }));
  root.append(
    svg("defs", {}, marker()),
    ...loops.map((part) => part.group),
    before,
    ...links.flat().map((part) => part.group),
    ...columns.map((part) => part.group),
    svg("circle", { class: "pulse", r: 5, cx: -20 }),
  );
  return { root, at, columns, links, loops, before, layers, u: 0 };
}

/** The state's way into itself, as the folded network has it, and the gradient's way back through it. */
function loopOf(layer, at) {
  const y = at.rows[layer];
  const forward = svg("path", { class: "forward", d: loop(at.middle, y, at.box), "marker-end": "url(#arrow)" });
  const band = svg("path", { class: "band", d: loop(at.middle, y, at.box, 9) });
  const right = at.middle + at.box / 2 + 62;
  const letters = svg("text", { class: "name weight", x: right + 4, y: y - 4 }, ...named("W", "s"));
  const size = svg("text", { class: "size", x: right - 4, y: y + 15 });
  return { layer, group: svg("g", { class: "loop" }, band, forward, letters, size), band, size };
}

function marker() {
  const shape = { id: "arrow", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 11, markerHeight: 11, markerUnits: "userSpaceOnUse", orient: "auto" };
  return svg("marker", shape, svg("path", { d: "M0 .8L7.4 4L0 7.2z" }));
}

const named = (letter, below) => [svg("tspan", { class: "letter" }, letter), svg("tspan", { class: "below", dy: 4 }, below)];

const letter = (text, name, k) => write(text, `${name}_${k}`, () => named(name, String(k)));

/** One step: its nodes, and the edges between them, all in the column's own coordinates. */
function column(network, at, i) {
  const group = svg("g", { class: "column" });
  const parts = {};
  const { rows, box } = at;
  const add = (kind, layer, ...children) => {
    const target = svg("g", { class: `part ${kind}`, role: "button", tabindex: -1 }, ...children);
    const part = { kind, layer, group: target };
    target.addEventListener("click", (event) => {
      event.stopPropagation();
      pick(part, i);
    });
    parts[layer ? `${kind} ${layer}` : kind] = part;
    group.append(target);
    return part;
  };
  const tall = box / 2 + 2;
  edge(add, "read", null, rows[network.layers.at(-1)] - tall, rows.y + 19, at);
  edge(add, "error", null, rows.y - 19, rows.E + 20, at);
  network.layers.forEach((layer, l) => {
    const below = l === 0 ? rows.x - 19 : rows[network.layers[l - 1]] - tall;
    edge(add, "in", layer, below, rows[layer] + tall, at);
  });
  for (const layer of network.layers) node(add("s", layer), rows[layer], box, box, network.units, at);
  node(add("x", null), rows.x, box, 34, network.x[0].length, at);
  node(add("y", null), rows.y, box, 34, network.forward.outputs[0].length, at);
  const E = add("E", null, svg("circle", { cy: rows.E, r: 17 }), svg("text", { class: "name", y: rows.E + 5 }));
  E.value = svg("text", { class: "size", y: rows.E + 4, x: 24 });
  E.name = E.group.querySelector(".name");
  group.append(E.value);
  return { group, parts };
}

/** A vertical edge: the forward arrow up on the left, the gradient's band down on the right. */
function edge(add, kind, layer, from, to, at) {
  const forward = svg("path", { class: "forward", d: line(-7, from, -7, to), pathLength: 1, "marker-end": "url(#arrow)" });
  const band = svg("path", { class: "band", d: line(8, to + 1, 8, from - 1), pathLength: 1 });
  const hit = svg("rect", { class: "hit", x: -15, y: to, width: 36, height: from - to });
  const part = add(kind, layer, hit, band, forward);
  const middle = (from + to) / 2 + 4;
  const letters = { in: ["W", "x"], read: ["W", "y"] }[kind];
  part.letters = at.roomy && letters ? svg("text", { class: "name weight", x: -14, y: middle }, ...named(...letters)) : null;
  part.size = svg("text", { class: "size", x: 20, y: middle });
  part.group.append(...[part.letters, part.size].filter(Boolean));
  Object.assign(part, { forward, band });
}

function node(part, y, width, height, count, at) {
  const frame = svg("rect", { class: "box", x: -width / 2, y: y - height / 2, width, height, rx: 9 });
  part.dots = dotPlaces(count, Math.min(width, height)).map((place) => {
    const dot = svg("circle", { class: "dot", cx: place.x, cy: y + place.y });
    dot.most = place.most;
    return dot;
  });
  const beside = at.roomy ? { x: -width / 2 - 3, y: y - height / 2 + 5, class: "name beside" } : { y: y + 32, class: "name" };
  part.name = svg("text", beside);
  if (!at.roomy && part.kind !== "x") part.name.style.display = "none"; // too narrow: the error above says which step
  part.group.append(frame, ...part.dots, part.name);
}

/** The edge from step i-1's state to step i's: forward above, the gradient's band below. */
function link(layer, i) {
  const forward = svg("path", { class: "forward", pathLength: 1, "marker-end": "url(#arrow)" });
  const band = svg("path", { class: "band", pathLength: 1 });
  const hit = svg("path", { class: "hit" });
  const size = svg("text", { class: "size under" });
  const letters = svg("text", { class: "name weight over" }, ...named("W", "s"));
  const group = svg("g", { class: "part link", role: "button", tabindex: -1 }, hit, band, forward, letters, size);
  const part = { kind: "link", layer, group, forward, band, hit, size, letters };
  group.addEventListener("click", (event) => {
    event.stopPropagation();
    pick(part, i);
  });
  return part;
}

function pick(part, i) {
  const k = drawn().first + i;
  if (!store.unfolded) return change({ unfolded: true });
  if (part.kind === "E" && k !== store.t) return change({ t: k, selected: { kind: "E", layer: null, k } });
  return change({ selected: { kind: part.kind, layer: part.layer, k } });
}

/** Put everything where it stands at u, from folded (0) to unfolded (1). */
export function place(u) {
  const { at, columns, links, loops, before, layers } = built;
  const last = Math.min(store.t - drawn().first, columns.length - 1);
  const x = columns.map((_, i) => at.middle + (at.column(i) - at.middle) * u);
  columns.forEach((part, i) => {
    set(part.group, { transform: `translate(${x[i].toFixed(1)} 0)` });
    part.group.style.opacity = i === last ? 1 : u;
    part.group.style.visibility = i !== last && u === 0 ? "hidden" : "";
  });
  links.forEach((row, i) => {
    const from = i ? x[i - 1] + at.box / 2 : x[0] - (at.box / 2 + 34) * u - 2;
    const to = x[i] - at.box / 2;
    row.forEach((part, l) => {
      const y = at.rows[layers[l]];
      set(part.forward, { d: line(from + 2, y - 9, to - 2, y - 9) });
      set(part.band, { d: line(to, y + 8, from, y + 8) });
      set(part.hit, { d: line(from, y, to, y) });
      set(part.size, { x: (from + to) / 2, y: y + 31 });
      set(part.letters, { x: (from + to) / 2, y: y - 16 });
      part.group.style.opacity = Math.max(0, 2 * u - 1);
      part.group.style.visibility = u === 0 ? "hidden" : "";
    });
  });
  for (const { group } of loops) group.style.opacity = Math.max(0, 1 - 2 * u);
  before.style.opacity = Math.max(0, 2 * u - 1);
  set(before, { transform: `translate(${(x[0] - at.box / 2 - 48).toFixed(1)} ${at.rows[layers.at(-1)] - 4})` });
  built.u = u;
}

/** Show the numbers of the present t: values as dots, gradients as bands and figures, and what is selected. */
export function refresh() {
  const { network, t, selected } = store;
  const { first } = drawn();
  const { at, columns, links, loops, before, layers } = built;
  const scale = scales(network);
  letter(before.firstChild, "s", first - 1);
  write(before.lastChild, first > 1 ? "and before" : "");
  columns.forEach(({ group, parts }, i) => {
    const k = first + i;
    group.classList.toggle("later", k > t);
    group.classList.toggle("now", k === t);
    for (const part of Object.values(parts)) {
      describe(part, k, selected);
      if (part.dots) showDots(part, k, scale);
      if (part.band) showEdge(part, k, scale, at);
    }
    letter(parts.E.name, "E", k);
    write(parts.E.value, k === t && at.roomy ? number(network.forward.errors[k - 1], 3) : "");
  });
  for (const loop of loops) {
    const flow = t > 1 ? backAt("flow", loop.layer, t - 1) : null;
    showBand(loop, flow, scale.flow);
    write(loop.size, flow === null ? "" : number(flow, 3));
  }
  links.forEach((row, i) =>
    row.forEach((part) => {
      const k = first + i;
      describe(part, k, selected);
      const flow = k > 1 ? backAt("flow", part.layer, k - 1) : null;
      showBand(part, flow, scale.flow);
      write(part.size, flow === null || k > t ? "" : at.roomy ? number(flow, 3) : roughly(flow));
      part.group.classList.toggle("later", k > t);
      part.letters.style.display = at.roomy && i > 0 ? "" : "none"; // the first one is short
    }),
  );
}

function scales(network) {
  const most = (rows) => Math.max(1e-12, ...rows.flat(2).map((value) => Math.abs(value ?? 0)));
  const { backward, forward } = network;
  const contributions = network.layers.flatMap((layer) => weightsOf("input", layer).map((w) => backward.norm[w.name][store.t - 1]));
  return {
    x: most(network.x),
    y: most(forward.outputs),
    s: Object.fromEntries(network.layers.map((layer) => [layer, most(forward.states[layer])])),
    flow: most(network.layers.map((layer) => backward.flow[layer][store.t - 1])),
    read: Math.max(1e-12, ...backward.outputs[store.t - 1].map((v) => Math.abs(v ?? 0))),
    in: most(contributions),
  };
}

function showDots(part, k, scale) {
  const { network } = store;
  const values = part.kind === "x" ? network.x[k - 1] : part.kind === "y" ? network.forward.outputs[k - 1] : network.forward.states[part.layer][k - 1];
  const most = part.kind === "s" ? scale.s[part.layer] : scale[part.kind];
  part.dots.forEach((dot, i) => {
    const size = Math.sqrt(Math.abs(values[i] ?? 0) / most);
    set(dot, { r: Math.max(0.8, dot.most * size).toFixed(2), class: values[i] < 0 ? "dot below" : "dot above" });
  });
  letter(part.name, part.kind, k);
}

function showEdge(part, k, scale, at) {
  let size = null;
  if (part.kind === "in") {
    const weight = weightsOf("input", part.layer)[0];
    size = backAt("norm", weight.name, k);
    showBand(part, size, scale.in);
  } else {
    const dz = k === store.t ? store.network.backward.outputs[k - 1] : null;
    size = dz && Math.hypot(...dz.map((v) => v ?? 0));
    showBand(part, size, scale.read);
  }
  write(part.size, size === null || !at.roomy || part.kind === "error" ? "" : number(size, 3));
}

/** A band as wide as its share of the largest; never so thin that it cannot be seen, unless it is 0. */
function showBand(part, size, most) {
  const width = size === null || size === 0 ? 0 : Math.max(0.8, (THICK * size) / most);
  set(part.band, { "stroke-width": width.toFixed(2) });
}

/** What assistive technology says of a part, and whether it is selected. */
function describe(part, k, selected) {
  const is = part.kind === selected.kind && part.layer === selected.layer && k === selected.k;
  part.group.classList.toggle("selected", is);
  set(part.group, { "aria-label": `${spoken(part)} at ${stepName(k)}`, "aria-pressed": String(is), tabindex: is ? 0 : -1 });
}

function spoken({ kind, layer }) {
  const of = layer && store.network.layers.length > 1 ? ` of layer ${layer}` : "";
  const words = { E: "error E", y: "output y", x: "input x", s: "state s", error: "edge from y to E", read: "edge W y", in: "edge W x", link: "edge W s" };
  return words[kind] + of;
}

/** The parts of a column from top to bottom, as the arrow keys walk them. */
function ladder() {
  const { layers } = built;
  return [
    ["E", null],
    ["error", null],
    ["y", null],
    ["read", null],
    ...layers.flatMap((layer) => [["s", layer], ["link", layer], ["in", layer]]),
    ["x", null],
  ];
}

/** Move the selection by arrow keys: left and right in time, up and down within a step. */
export function onDiagramKey(event) {
  const { kind, layer, k } = store.selected;
  const rungs = ladder();
  const rung = rungs.findIndex(([a, b]) => a === kind && b === layer);
  const { first, n } = drawn();
  const moves = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
  if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    if (!store.unfolded) return change({ unfolded: true });
    return kind === "E" ? change({ t: k }) : undefined;
  }
  const move = moves[event.key];
  if (!move || !store.unfolded) return;
  event.preventDefault();
  const [newKind, newLayer] = rungs[Math.min(rungs.length - 1, Math.max(0, rung + move[0]))];
  const newK = Math.min(first + n - 1, Math.max(first, k + move[1]));
  change({ selected: { kind: newKind, layer: newLayer, k: newK } });
  const target = partOf(store.selected);
  target?.group.focus({ preventScroll: true });
  target?.group.scrollIntoView({ block: "nearest", inline: "nearest" });
}

export function partOf({ kind, layer, k }) {
  const i = k - drawn().first;
  if (kind === "link") return built.links[i]?.find((part) => part.layer === layer);
  return built.columns[i]?.parts[layer ? `${kind} ${layer}` : kind];
}

/** Show the way from E_t to one use of a weight, the rest faint; null shows everything again. */
export function showPath(term) {
  built.root.classList.toggle("tracing", term !== null);
  const { first } = drawn();
  const on = (part, yes) => part.group.classList.toggle("on", yes);
  built.columns.forEach(({ parts }, i) => {
    const k = first + i;
    const within = term !== null && k >= term.k && k <= store.t;
    for (const part of Object.values(parts)) {
      const isEnd = k === store.t && ["E", "error", "y", "read"].includes(part.kind);
      const isUse = term !== null && k === term.k && term.kind === part.kind && (part.layer ?? term.layer) === term.layer;
      const source = term?.kind === "in" && k === term.k && part.kind === "x" && term.layer === store.network.layers[0];
      on(part, within && (isEnd || isUse || source || part.kind === "s"));
    }
  });
  built.links.forEach((row, i) => {
    const k = first + i;
    row.forEach((part) => on(part, term !== null && ((k > term.k && k <= store.t) || (k === term.k && term.kind === "link"))));
  });
}

/** The text below the diagram that says what its bands mean. */
export function legend() {
  const key = (name, text) => el("span", { class: `key ${name}` }, el("i", { "aria-hidden": "true" }), text);
  return [
    key("forward", "values, forward"),
    key("band", "gradient, back; as wide as it is large"),
    key("above", "above 0"),
    key("below", "below 0"),
  ];
}
