// The derivation for the chosen t and matrix: the rule, then term by term, each with its path and its numbers.

import { byId, el, set, svg } from "./dom.js";
import { gradientTerm } from "./details.js";
import { showPath } from "./diagram.js";
import { brackets, number, percent, shareBar } from "./format.js";
import { formula, fraction, letters } from "./formula.js";
import { change, stepName, store, weightOf } from "./store.js";

const KIND = { input: "in", input_bias: "in", recurrent: "link", recurrent_bias: "link", readout: "read", readout_bias: "read", projection: "s" };

/** One button for each weight; arrow keys move between them. */
export function showTabs() {
  const tabs = store.network.weights.map((weight) => {
    const chosen = weight.name === store.weight;
    return el(
      "button",
      { type: "button", role: "tab", "aria-selected": String(chosen), tabindex: chosen ? 0 : -1, "aria-controls": "terms", click: () => change({ weight: weight.name }) },
      formula(letters(weight.label)),
    );
  });
  byId("tabs").replaceChildren(...tabs);
}

export function onTabKey(event) {
  const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!move) return;
  event.preventDefault();
  const names = store.network.weights.map((weight) => weight.name);
  const next = (names.indexOf(store.weight) + move + names.length) % names.length;
  change({ weight: names[next] });
  byId("tabs").children[next].focus();
}

/** The sum and its terms. */
export function showDerivation() {
  const { network, t } = store;
  const weight = weightOf(store.weight);
  const name = letters(weight.label);
  byId("rule").replaceChildren(...rule(weight).map((text) => formula(text, "p")));
  const { kept, norm, share, total, earlier } = network.backward;
  const norms = norm[weight.name][t - 1];
  const most = Math.max(1, ...share[weight.name][t - 1].map((part) => Math.abs(part ?? 0)));
  const only = KIND[weight.role] === "read";
  const rows = norms.slice(0, only ? 1 : kept).map((size, lag) => term(weight, t - lag, size, share[weight.name][t - 1][lag], most));
  if (t > kept && !only) rows.push(summed(`1 to ${t - kept}`, earlier[weight.name][t - 1], most));
  rows.push(
    el("li", { class: "total" }, el("span", { class: "step" }, "sum"), el("span", { class: "equation" }, formula(`∂E_{${t}} / ∂${name}`)), el("span", { class: "norm" }, number(total[weight.name][t - 1])), el("span", { class: "share" }, total[weight.name][t - 1] ? "100 %" : "0 %")),
  );
  byId("terms").replaceChildren(...rows);
}

function rule(weight) {
  const { network, t } = store;
  const name = letters(weight.label);
  const left = `∂E_{${t}} / ∂${name}`;
  if (KIND[weight.role] === "read") return [`${left} = ${gradientTerm(weight, t)}`];
  const sum = `${left} = Σ_{k=1..${t}} ${gradientTerm(weight, "k")}`;
  if (network.cell !== "elman") return [sum, `δ_k = ∂E_{${t}} / ∂a_k, a_k the pre-activations of all gates of step k`];
  const leak = network.leak === 1 ? "" : `${network.leak} `;
  const rest = network.leak === 1 ? "" : ` + ${Number((1 - network.leak).toPrecision(6))} ∂E_{${t}} / ∂s_k`;
  const above = network.layers.indexOf(weight.layer) < network.layers.length - 1;
  return [
    sum,
    `δ_k = ${leak}∂E_{${t}} / ∂s_k Φ'(a_k)`,
    above ? `∂E_{${t}} / ∂s_{k-1} = δ_k W_s^T${rest} + what comes from the layer above` : `∂E_{${t}} / ∂s_{k-1} = δ_k W_s^T${rest},   ∂E_{${t}} / ∂s_{${t}} = ∂E_{${t}} / ∂y_{${t}} W_y^T`,
  ];
}

function term(weight, k, norm, share, most) {
  const part = store.network.backward.parts[weight.name]?.[store.t - 1][store.t - k];
  const kind = KIND[weight.role];
  const trace = () => showPath({ k, kind, layer: weight.layer });
  const select = () => change({ unfolded: true, selected: { kind, layer: weight.layer, k } });
  const small = part && part.flat().length <= 16;
  return el(
    "li",
    { pointerenter: trace, pointerleave: () => showPath(null), focusin: trace, focusout: () => showPath(null) },
    el(
      "button",
      { type: "button", click: select, "aria-label": `Term of ${stepName(k)}: norm ${number(norm)}, share ${percent(share)}` },
      el("span", { class: "step" }, `k = ${k}`),
      path(k),
      el("span", { class: "equation" }, ...chain(weight, k), formula(gradientTerm(weight, k))),
      el("span", { class: "values" }, small ? brackets(part) : ""),
      el("span", { class: "norm" }, number(norm)),
      el("span", { class: "share" }, percent(share), shareBar(share, most)),
    ),
  );
}

const LONGEST = 3; // factors between states that are written one by one

/** The lesson's chain rule for one term, from E_t over every state down to the use of the weight at step k. */
function chain(weight, k) {
  const { network, t } = store;
  if (network.layers.length > 1) return [];
  const name = letters(weight.label);
  const s = (step) => `∂s_{${step}}`;
  const output = fraction(`∂E_{${t}}`, `∂y_{${t}}`);
  if (KIND[weight.role] === "read") return [el("span", { class: "chain" }, output, fraction(`∂y_{${t}}`, `∂${name}`), " = ")];
  const factors = [output, fraction(`∂y_{${t}}`, s(t))];
  const steps = t - k;
  for (let step = t; step > k; step--) {
    const written = steps <= LONGEST || step === t || step === k + 1;
    if (written) factors.push(fraction(s(step), s(step - 1)));
    else if (step === t - 1) factors.push("⋯");
  }
  return [el("span", { class: "chain" }, ...factors, fraction(s(k), `∂${name}`), " = ")];
}

function summed(steps, share, most) {
  return el("li", { class: "earlier" }, el("span", { class: "step" }, `k = ${steps}`), el("span", { class: "equation" }, "together"), el("span", { class: "norm" }, ""), el("span", { class: "share" }, percent(share), shareBar(share, most)));
}

/** The term's path in small: the steps as points, the way from t back to k in the gradient's colour. */
function path(k) {
  const { t, network } = store;
  const n = Math.min(network.backward.kept, t);
  const x = (step) => 6 + ((step - (t - n + 1)) * 68) / Math.max(1, n - 1);
  const picture = svg("svg", { class: "path", width: 80, height: 14, "aria-hidden": "true" });
  for (let step = t - n + 1; step <= t; step++) picture.append(svg("circle", { cx: x(step), cy: 7, r: n > 12 ? 1.2 : 2 }));
  picture.append(svg("path", { d: `M${x(t)} 7L${x(k)} 7` }), svg("circle", { class: "end", cx: x(k), cy: 7, r: 3.4 }));
  return picture;
}

/** Mark the term that is selected in the diagram. */
export function markTerm() {
  const { selected, t } = store;
  const weight = weightOf(store.weight);
  const kind = KIND[weight.role];
  [...byId("terms").children].forEach((item, lag) => {
    const here = selected.kind === kind && selected.layer === weight.layer && selected.k === t - lag && !item.className.match(/total|earlier/);
    set(item, { "aria-current": here ? "true" : null });
  });
}
