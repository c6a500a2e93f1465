// The shapes of the unfolded network: its nodes, edges and loops, each a part that can be chosen.

import { set, svg } from "./dom.js";
import { dotPlaces, layout, line, loop } from "./layout.js";
import { page, state } from "./store.js";

/** What is drawn: its root, parts, columns and loops, and where they stand. */
export let built = null;

/** Whether a layer has a way through time beside W_s: an LSTM's cell state, a GRU's z, a leak. */
export const hasLane = () => !page.recorded && (state.network.cell !== "elman" || state.network.leak !== 1);

/** Draw a network's form over some steps; pick(part) is called where one is chosen. */
export function build(network, steps, width, [inputs, ...units], pick) {
  const at = layout(network.layers, steps.length, width, hasLane());
  const root = svg("svg", { class: at.roomy ? null : "narrow", xmlns: "http://www.w3.org/2000/svg", width: at.width, height: at.height, viewBox: `0 0 ${at.width} ${at.height}`, role: "group", "aria-label": "The network, unfolded in time. Arrow keys move through it." });
  built = { root, at, steps, parts: new Map(), columns: [], loops: [], u: 1 };
  const edges = svg("g");
  const nodes = svg("g");
  steps.forEach((k, i) => {
    const column = svg("g", { class: "column" });
    built.columns.push(column);
    nodes.append(column);
    if (k === 0) return column.append(...network.layers.map((layer) => svg("text", { class: "name", y: at.rows[layer] + 5 }, "⋯")));
    const add = (kind, layer, target, ...children) => target.append(part({ kind, layer, k, i }, children, pick).group);
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

/** Let the columns that are drawn show other steps. */
export function renumber(steps) {
  if (steps.join() === built.steps.join()) return;
  built.steps = steps;
  for (const each of built.parts.values()) each.k = steps[each.i];
  built.parts = new Map([...built.parts.values()].map((each) => [keyOf(each), each]));
}

function marker() {
  const shape = { id: "arrow", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 11, markerHeight: 11, markerUnits: "userSpaceOnUse", orient: "auto" };
  return svg("marker", shape, svg("path", { d: "M0 .8L7.4 4L0 7.2z" }));
}

export const named = (letter, below, above = "") => [svg("tspan", { class: "letter" }, letter), svg("tspan", { class: "below", dy: 4 }, below), ...(above ? [svg("tspan", { class: "below", dy: -9 }, above)] : [])];

/** A part that can be chosen; edges know the step at which they end. */
function part({ kind, layer, k, i }, children, pick) {
  const shapes = children.filter((child) => child && child.tagName !== "text");
  const texts = children.filter((child) => child?.tagName === "text"); // its label says them in words
  const button = svg("g", { role: "button", tabindex: -1 }, ...shapes);
  const group = svg("g", { class: `part ${kind}` }, button, svg("g", { "aria-hidden": "true" }, ...texts));
  const found = { kind, layer, k, i, group, button, isEdge: !kind.startsWith("node") };
  for (const name of ["band", "ghost", "forward", "hit", "over", "size", "c"]) found[name] = group.querySelector(`.${name}`);
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
    set(each.over, { x: (from + to) / 2 - (at.step < 110 ? 6 : 0), y: y - 14 });
    each.group.style.opacity = u === 1 ? "" : Math.max(0, 2 * u - 1); // at rest the style sheet says
    each.group.style.visibility = u === 0 ? "hidden" : "";
  }
  for (const { group } of loops) group.style.opacity = Math.max(0, 1 - 2 * u);
  first.style.opacity = Math.max(0, 2 * u - 1);
  set(first, { x: x[0] - at.box / 2 - Math.min(40, at.step - at.box) - 12, y: at.rows[state.network.layers[0]] + 4 });
  built.u = u;
}
