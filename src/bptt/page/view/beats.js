// The chain rule beat by beat: from E_t back to every use of one matrix, each beat an edge, a product and its numbers.

import { back, make, transposed, norm } from "../compute/vectors.js";
import { product } from "../compute/network.js";
import { byId, el, set } from "./dom.js";
import { light } from "./diagram.js";
import { keyOf } from "./drawing.js";
import { EDGE_OF } from "./flows.js";
import { gateProducts } from "./gates.js";
import { brackets, number, percent } from "./numbers.js";
import { formulas, look, numbers, page, partsOf, state, stepName, weightOf } from "./store.js";
import { tex } from "./tex.js";

/** What there is to step through, for the matrix and t that are looked at: [{kind, k}]. */
export function beats() {
  const weight = weightOf(state.weight);
  const { t, first } = numbers.found;
  const found = [{ kind: "output", k: t }];
  if (weight.layer === null) return [...found, { kind: "use", k: t }, { kind: "sum", k: t }];
  found.push({ kind: "state", k: t });
  for (let k = t; k >= first; k--) {
    found.push({ kind: "delta", k }, { kind: "use", k });
    if (k > first) found.push({ kind: "pass", k });
  }
  return [...found, { kind: "sum", k: first }];
}

export function setUpBeats() {
  const move = (by) => () => look({ beat: Math.min(beats().length - 1, Math.max(0, (state.beat ?? -1) + by)) });
  byId("beat-back").addEventListener("click", move(-1));
  byId("beat-next").addEventListener("click", move(1));
  byId("beat-end").addEventListener("click", () => look({ beat: null }));
  byId("beat").addEventListener("input", (event) => look({ beat: event.target.valueAsNumber - 1 }));
}

/** Show the beat that is on, or how to begin. */
export function showBeat() {
  byId("beats").hidden = Boolean(page.recorded);
  if (page.recorded) return;
  const all = beats();
  const n = state.beat === null ? null : Math.min(state.beat, all.length - 1);
  set(byId("beat"), { max: all.length, "aria-valuetext": n === null ? "not started" : `beat ${n + 1} of ${all.length}` });
  byId("beat").value = n === null ? 1 : n + 1;
  byId("beat-back").disabled = n === null || n === 0;
  byId("beat-next").disabled = n === all.length - 1;
  byId("beat-end").hidden = n === null;
  byId("beat-next").textContent = n === null ? "Step through the chain rule" : "Next";
  if (n === null) {
    light(null);
    return byId("beat-shown").replaceChildren();
  }
  const { lit, at, rows, say } = BEATS[all[n].kind](all[n].k, weightOf(state.weight));
  light(lit, at);
  byId("beat-shown").replaceChildren(
    el("p", { class: "say" }, el("strong", {}, `${n + 1} of ${all.length}. `), ...[say].flat()),
    ...rows.flatMap(({ line, sum }) => [line ? el("p", {}, tex(line, { t: state.t, k: all[n].k, l: layerNumber() })) : "", productOf(sum)]),
  );
}

const productOf = (sum) => el("div", { class: "product" }, ...sum.map((one) => (typeof one === "string" ? el("span", { class: "sign" }, one) : brackets(one))));

const layerOf = () => weightOf(state.weight).layer ?? state.network.layers.at(-1);
const layerNumber = () => state.network.layers.indexOf(layerOf()) + 1;
const walk = () => numbers.found.layers[layerNumber() - 1];
const passed = () => numbers.pass.layers[layerNumber() - 1];
const edge = (kind, k, layer = layerOf()) => keyOf({ kind, layer: kind === "E" || kind === "y" ? null : layer, k });
const node = (letter, k) => keyOf({ kind: `node ${letter}`, layer: letter === "s" ? layerOf() : null, k });

/** The edges from E_t back to step k. */
function wayTo(k) {
  const found = [edge("E", state.t), edge("y", state.t), node("E", state.t), node("y", state.t)];
  for (let step = state.t; step >= k; step--) found.push(node("s", step), ...(step > k ? [edge("s", step), edge("lane", step)] : []));
  return found;
}

const BEATS = {
  output(k) {
    return { lit: [edge("E", k)], at: [node("E", k), node("y", k)], rows: [{ line: formulas().output, sum: [numbers.found.dz] }], say: ["The error of ", stepName(k), " by its output: the way back starts here."] };
  },
  state(k) {
    const { network, found } = numbers;
    const top = layerOf() === state.network.layers.at(-1);
    const sum = top ? [found.dz, "·", network.W_y, "=", back(found.dz, network.W_y)] : [walk().dh[k]]; // (O, S): W_yᵀ
    const say = top ? "Back through the read-out: the error by the last state." : "Back through the read-out and the layers above: the error by this layer's state.";
    return { lit: [edge("y", k)], at: wayTo(k), rows: [{ line: top ? formulas().onto_state : null, sum }], say };
  },
  delta(k) {
    const { cell, activation, leak } = state.network;
    const delta = walk().delta_ih[k];
    if (cell !== "elman") {
      const rows = gateProducts(cell, numbers.network.layers[layerNumber() - 1], walk(), passed().kept[k - 1], k);
      return { lit: [node("s", k)], at: wayTo(k), rows, say: `Through the gates of step ${k}: δ of a gate is the error by its pre-activation, before σ or tanh.` };
    }
    const slope = numbers.network.cell.slope(passed().kept[k - 1]);
    const factor = leak === 1 ? [] : [String(leak), "·"];
    const name = { tanh: "1 − s²", relu: "1 where s > 0, else 0", sigmoid: "s (1 − s)", identity: "1" }[activation] ?? `the slope of ${activation}`;
    return { lit: [node("s", k)], at: wayTo(k), rows: [{ line: formulas().deltas[0], sum: [...factor, walk().dh[k], "⊙", slope, "=", delta] }], say: [`Through Φ at step ${k}: δ is the error by the pre-activation a, before Φ; Φ′ is the slope of Φ there (here ${name}).`] };
  },
  use(k, weight) {
    const part = partsOf(weight.name).parts.find((one) => one.k === k);
    const { operand, delta } = formulas().matrices[weight.name];
    return {
      lit: [edge(EDGE_OF[weight.role], k)], at: [...wayTo(k), ...(weight.role === "input" && layerNumber() === 1 ? [node("x", k)] : [])],
      rows: [{ line: `${operand ? `${operand}\\,` : ""}${delta}`, sum: part.operand ? [transposed([part.operand]), "·", part.delta, "=", product(part)] : [part.delta] }],
      say: [tex(weight.latex), ` is used at step ${k}: this is what step ${k} contributes, ${percent(part.share)} of the sum (norm ${number(part.norm, 3)}).`],
    };
  },
  pass(k) {
    const { cell } = state.network;
    const { over_s, over_lane, delta_hh, dh, dc } = walk();
    const W = numbers.network.layers[layerNumber() - 1].W_hh;
    const whole = () => ["+", over_lane[k], "=", make(dh[k].length, (i) => over_s[k][i] + over_lane[k][i])];
    const rows = [{ line: formulas().passed, sum: [delta_hh[k], "·", W, "=", over_s[k], ...(cell !== "lstm" && norm(over_lane[k]) > 0 ? whole() : [])] }];
    if (cell === "lstm") rows.push({ line: "\\text{over c: } \\frac{\\partial E_t}{\\partial c_k} \\odot f_k", sum: [dc[k], "⊙", passed().kept[k - 1].f, "=", over_lane[k]] });
    return { lit: [edge("s", k), edge("lane", k)], at: [...wayTo(k), node("s", k - 1)], rows, say: `One step further back, from step ${k} to step ${k - 1}.` };
  },
  sum(k, weight) {
    const { parts, gradient, total } = partsOf(weight.name);
    const terms = parts.slice(0, 4).flatMap((part, i) => (i ? ["+", product(part)] : [product(part)]));
    const more = parts.length > 4 ? [`+ ${parts.length - 4} more`] : [];
    const { left, total: closed } = formulas().matrices[weight.name];
    return { lit: parts.map((part) => edge(EDGE_OF[weight.role], part.k)), at: wayTo(k), rows: [{ line: `${left} = ${closed}`, sum: [...terms, ...more, "=", gradient] }], say: `All ${parts.length === 1 ? "of it: one term" : `${parts.length} terms`} together: the gradient, of norm ${number(total)}.` };
  },
};
