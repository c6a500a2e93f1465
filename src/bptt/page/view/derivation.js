// The derivation for the chosen t and matrix: the rule, then term by term, each with its path and its numbers.

import { product } from "../compute/network.js";
import { byId, el } from "./dom.js";
import { light } from "./diagram.js";
import { keyOf } from "./drawing.js";
import { EDGE_OF } from "./flows.js";
import { brackets, number, percent, shareBar } from "./numbers.js";
import { formulas, look, page, partsOf, present, state, stepName, weightOf } from "./store.js";
import { at, tex } from "./tex.js";

const SHOWN = 8; // terms that are written one by one

/** One button for each weight; arrow keys move between them. */
export function showTabs() {
  const tabs = state.network.weights.map(({ name, latex }) => {
    const chosen = name === state.weight;
    return el("button", { type: "button", role: "tab", "aria-selected": String(chosen), tabindex: chosen ? 0 : -1, "aria-controls": "derivation-shown", click: () => look({ weight: name, beat: null }) }, tex(latex));
  });
  byId("tabs").replaceChildren(...tabs);
}

export function onTabKey(event) {
  const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!move) return;
  event.preventDefault();
  const names = state.network.weights.map(({ name }) => name);
  const next = (names.indexOf(state.weight) + move + names.length) % names.length;
  look({ weight: names[next], beat: null });
  byId("tabs").children[next].focus();
}

/** The lines of the derivation in LaTeX: the sum, and where its delta comes from. */
export function rule() {
  const { left, total } = formulas().matrices[state.weight];
  const here = { t: state.t };
  const lines = [at(`${left} = ${total}`, here)];
  return weightOf(state.weight).layer === null ? lines : [...lines, ...formulas().recursion.map((line) => at(present(line), here))];
}

/** The sum and its terms. */
export function showDerivation() {
  const weight = weightOf(state.weight);
  byId("rule").replaceChildren(...rule().map((line) => tex(line, {}, "p")));
  const { parts, total } = partsOf(weight.name);
  const most = Math.max(1, ...parts.map(({ share }) => Math.abs(share) || 0));
  const rows = parts.slice(0, SHOWN).map((part) => term(weight, part, most));
  const rest = parts.slice(SHOWN);
  if (rest.length) rows.push(summed(`k = ${rest.at(-1).k} to ${rest[0].k}`, rest.reduce((sum, { share }) => sum + share, 0), most));
  const { left } = formulas().matrices[weight.name];
  rows.push(el("li", { class: "total" }, el("span", { class: "step" }, "sum"), tex(left, { t: state.t }), el("span", { class: "norm" }, number(total)), el("span", { class: "share" }, total ? "100 %" : "0 %", shareBar(0))));
  byId("terms").replaceChildren(...rows);
}

function term(weight, part, most) {
  const { k } = part;
  const kind = EDGE_OF[weight.role];
  const layer = weight.layer;
  const key = keyOf({ kind, layer, k });
  const select = () => look({ unfolded: true, beat: null, selected: { kind, layer, k } });
  const { operand, delta } = formulas().matrices[weight.name];
  const { selected } = state;
  const here = selected.kind === kind && selected.layer === layer && selected.k === k;
  const l = state.network.layers.indexOf(layer) + 1;
  const small = !page.recorded && product(part).length * (product(part)[0].length ?? 1) <= 16;
  return el(
    "li",
    { "aria-current": here ? "true" : null, pointerenter: () => state.beat === null && light([key]), pointerleave: () => state.beat === null && light(null) },
    el(
      "button",
      { type: "button", click: select, title: stepName(k) },
      el("span", { class: "step" }, `k = ${k}`),
      el("span", { class: "equation" }, ...chain(weight, k), tex(`${operand ? `${operand}\\,` : ""}${delta}`, { t: state.t, k, l })),
      small ? el("span", { class: "values" }, brackets(product(part))) : "",
      el("span", { class: "norm" }, number(part.norm)),
      el("span", { class: "share" }, percent(part.share), shareBar(part.share, most)),
    ),
  );
}

const LONGEST = 3; // factors between states that are written one by one

/** The lesson's chain rule for one term, from E_t over every state down to the use of the weight at step k. */
function chain(weight, k) {
  if (!formulas().jacobian) return [];
  const { t } = state;
  const { output } = formulas();
  const y = output.includes("\\partial z_t") ? "z" : "y";
  const one = (above, below) => tex(`\\frac{\\partial ${above}}{\\partial ${below}}`);
  const s = (step) => `s_{${step}}`;
  if (weight.layer === null) return [el("span", { class: "chain" }, one(`E_{${t}}`, `${y}_{${t}}`), one(`${y}_{${t}}`, weight.latex), " = ")];
  const factors = [one(`E_{${t}}`, `${y}_{${t}}`), one(`${y}_{${t}}`, s(t))];
  for (let step = t; step > k; step--) {
    if (t - k <= LONGEST || step === t || step === k + 1) factors.push(one(s(step), s(step - 1)));
    else if (step === t - 1) factors.push(" ⋯ ");
  }
  return [el("span", { class: "chain" }, ...factors, one(s(k), weight.latex), " = ")];
}

const summed = (steps, share, most) => el("li", { class: "earlier" }, el("span", { class: "step" }, `${steps} together`), el("span", { class: "norm" }), el("span", { class: "share" }, percent(share), shareBar(share, most)));

