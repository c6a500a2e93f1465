// Choosing a part of the diagram, by click or by arrow keys; each has a label in words.

import { built, hasLane, keyOf } from "./drawing.js";
import { carried, shownSize } from "./flows.js";
import { number } from "./numbers.js";
import { look, numbers, state, stepName, weightOf } from "./store.js";

/** Choose a part, and with an edge its matrix. */
export function pick({ kind, layer, k }) {
  if (!state.unfolded) return look({ unfolded: true });
  const weight = state.network.weights.find((w) => w.layer === layer && { in: "input", s: "recurrent", y: "readout" }[kind] === w.role);
  const chosen = weight ? { weight: weight.name, ...(weightOf(state.quantity) ? { quantity: weight.name } : {}) } : {};
  look({ selected: { kind, layer, k }, beat: null, ...chosen, ...(kind === "node E" ? { t: k } : {}) });
}

/** A part in words, for its label. */
export function spoken(each) {
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
