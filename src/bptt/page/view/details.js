// What is selected in the diagram: its equation, its numbers, and the one quantity that is shown on its edge.

import { norm } from "../compute/vectors.js";
import { product } from "../compute/network.js";
import { byId, el } from "./dom.js";
import { isVeiled } from "./exercises.js";
import { flowAt, gateOf, gradientOver, startOf } from "./flows.js";
import { brackets, number, percent, shareBar } from "./numbers.js";
import { before, formulas, present, numbers, page, partsOf, shown, state, stepName, weightAt } from "./store.js";
import { tex } from "./tex.js";

const row = (name, value) => (value === null || value === undefined ? null : [el("dt", {}, name), el("dd", {}, value)]);

/** Fill the panel with what is selected. */
export function showDetails() {
  const { kind, layer, k } = state.selected;
  const l = state.network.layers.indexOf(layer) + 1;
  const numbersAt = { t: state.t, k, l };
  const name = (latex) => tex(latex, numbersAt);
  const panel = PANELS[page.recorded && kind !== "node E" && kind !== "node y" ? "recorded" : kind]({ kind, layer, k, l, name });
  byId("details").replaceChildren(
    el("h3", {}, panel.title),
    ...(panel.lines ?? []).map((line) => tex(present(line), { t: k, k, l }, "p")),
    el("dl", {}, ...panel.rows.filter(Boolean).flat()),
    ...(panel.say ? [el("p", { class: "say" }, panel.say)] : []),
  );
}

/** Lines of the forward pass whose left side is one of these letters. */
const equationsOf = (...letters) => formulas().equations.filter((line) => letters.some((letter) => line.startsWith(letter)));

function outside(k) {
  const { t, first } = numbers.found;
  if (k > t) return `Step ${k} comes after t = ${t}: the error of step ${t} does not depend on it.`;
  return k < first ? `The truncation k2 = ${state.k2} cuts the way back before step ${first}: step ${k} is left out.` : null;
}

/** The gradient over an edge, in the two forms that the diagram has for it, and what it was before the last edit. */
function overEdge(edge, symbol) {
  const vector = gradientOver(edge);
  if (!vector) return [];
  const was = before?.found?.t === numbers.found.t ? gradientOver(edge, before) : null;
  const size = norm(vector);
  const ghost = was && Math.abs(norm(was) - size) > 1e-4 * size ? el("small", { class: "was" }, ` was ${number(norm(was), 3)}`) : "";
  return [
    row(["gradient by ", symbol, " over this edge"], brackets(vector)),
    row("norm of the gradient", [number(size), ghost]),
    row([`as a part of step ${state.t}`], percent(startOf() ? size / startOf() : NaN)),
  ];
}

function contribution(weight, k) {
  const part = weight && partsOf(weight.name).parts.find((one) => one.k === k);
  if (!part) return [];
  return [
    row(["contribution to ", tex(`\\partial E_{${state.t}}/\\partial ${weight.latex}`)], brackets(product(part))),
    row("norm of the contribution", number(part.norm)),
    row("share of the sum", el("span", { class: "sized" }, percent(part.share), shareBar(part.share))),
  ];
}

const matrixRow = (weight, name = weight.latex) => row(tex(name), brackets(weight.values));

const DELTA = {
  elman: "δ is the error by the pre-activation a, before Φ. Φ′(a) is the slope of Φ there: a unit far from 0 is saturated, and its slope lets little through.",
  gated: "δ is the error by the pre-activations of every gate, side by side.",
};

const PANELS = {
  "node E"({ k }) {
    const d = shown(state.d)[k - 1];
    const { loss } = page.recorded ? { loss: null } : numbers.network;
    return {
      title: `Error of ${stepName(k)}`,
      lines: equationsOf("E_t"),
      rows: [
        row(tex(`d_{${k}}`), typeof d === "number" ? `class ${d}` : brackets(d)),
        row(tex(`y_{${k}}`), brackets(numbers.pass.y[k - 1])),
        row(tex(`E_{${k}}`), number(numbers.pass.errors[k - 1])),
        loss ? row(tex(formulas().output.split(" = ")[0], { t: k }), brackets(loss.slope(numbers.pass.z[k - 1], numbers.pass.d[k - 1]))) : null,
      ],
      say: k === state.t ? "The way back starts here." : `Choose t = ${k} to send this error back.`,
    };
  },
  "node y"({ k }) {
    return { title: `Output of ${stepName(k)}`, lines: equationsOf("z_t", "y_t"), rows: [row(tex(`y_{${k}}`), brackets(numbers.pass.y[k - 1]))], say: k === state.t ? null : `The error of step ${state.t} looks at the output of step ${state.t} only.` };
  },
  "node x": ({ k }) => ({ title: `Input of ${stepName(k)}`, rows: [row(tex(`x_{${k}}`), brackets(shown(state.x)[k - 1]))], say: "An input is not trained, but its matrix is used here." }),
  "node s"({ layer, k, l, name }) {
    const { cell } = state.network;
    const at = numbers.pass.layers[l - 1];
    const found = numbers.found.layers[l - 1];
    const inside = k <= numbers.found.t && k >= numbers.found.first;
    const part = inside && startOf() ? flowAt(layer, k) / startOf() : null;
    const above = state.network.layers.length > 1 ? "^{(\\ell)}" : "";
    const gates = cell === "elman" ? [] : Object.entries(at.kept[k - 1]).filter(([gate]) => gate.length === 1 && gate !== "m");
    return {
      title: `State of ${stepName(k)}${state.network.layers.length > 1 ? `, layer ${l}` : ""}`,
      lines: cell === "elman" ? equationsOf("a_k", "s_k") : formulas().equations.filter((line) => !/^[yzE]_t/.test(line)),
      rows: [
        row(name(`s_k${above}`), brackets(at.states[k][0])),
        cell === "lstm" ? row(name("c_k"), brackets(at.states[k][1])) : null,
        ...gates.map(([gate, values]) => row(name(`${gate}_k`), brackets(values))),
        cell === "elman" ? row(name("\\Phi'(a_k)"), brackets(numbers.network.cell.slope(at.kept[k - 1]))) : null,
        inside ? row(name(`\\frac{\\partial E_t}{\\partial s_k${above}}`), brackets(found.dh[k])) : null,
        inside && cell === "lstm" ? row(name("\\frac{\\partial E_t}{\\partial c_k}"), brackets(found.dc[k])) : null,
        inside ? row(name(`\\delta_k${above}`), isVeiled(k) ? "predict it first" : brackets(found.delta_ih[k])) : null,
        inside ? row(name(`\\lVert \\partial E_t/\\partial s_k${above} \\rVert`), number(flowAt(layer, k))) : null,
        part === null ? null : row(`as a part of step ${state.t}`, percent(part)),
      ],
      say: outside(k) ?? DELTA[cell === "elman" ? "elman" : "gated"],
    };
  },
  recorded({ layer, k }) {
    const flow = layer === null ? null : flowAt(layer, k);
    return { title: stepName(k), rows: [flow === null ? null : row(tex(`\\lVert \\partial E_{${state.t}}/\\partial s_{${k}}\\rVert`), number(flow)), flow === null ? null : row(`as a part of step ${state.t}`, percent(flow / startOf()))], say: "Only norms of this network were recorded, no vectors." };
  },
  E: ({ k }) => ({ title: `From the output to the error of ${stepName(k)}`, lines: [], rows: overEdge({ kind: "E", k }, tex(`y_{${k}}`)), say: k === state.t ? null : `The error of step ${state.t} does not pass here.` }),
  y({ k }) {
    const weight = weightAt("readout");
    return { title: `Read-out of ${stepName(k)}`, lines: equationsOf("z_t", "y_t"), rows: [matrixRow(weight), ...overEdge({ kind: "y", k }, tex(`s_{${k}}`)), ...contribution(weight, k)], say: k === state.t ? "The read-out is used once: no earlier step contributes." : `The error of step ${state.t} does not pass here.` };
  },
  in({ layer, k, l, name }) {
    const weight = weightAt("input", layer);
    const below = l > 1 ? "s_k^{(\\ell-1)}" : "x_k";
    return { title: `Into the state of ${stepName(k)}`, lines: equationsOf("a_k", "(a_k", "(p_k"), rows: [matrixRow(weight), ...overEdge({ kind: "in", layer, k }, name(below)), ...contribution(weight, k)], say: outside(k) };
  },
  s({ layer, k }) {
    const weight = weightAt("recurrent", layer);
    return { title: k > 1 ? `From step ${k - 1} to ${stepName(k)}, by the recurrent matrix` : "From the start to step 1", lines: equationsOf("a_k", "(a_k", "(p_k"), rows: [matrixRow(weight), ...overEdge({ kind: "s", layer, k }, tex(`s_{${k - 1}}`)), ...contribution(weight, k)], say: outside(k) ?? (k === 1 ? "The state before step 1 is 0, so this use of the matrix contributes nothing." : null) };
  },
  lane({ layer, k, l }) {
    const { cell } = state.network;
    const { letter, mean } = gateOf({ layer, k });
    const symbol = cell === "lstm" ? `c_{${k - 1}}` : `s_{${k - 1}}`;
    const why = { elman: "The leak passes the old state on without a matrix, and its gradient back without one.", gru: "Where z is near 1 the old state is kept, and the gradient comes back as it is.", lstm: "Where f is near 1 the cell keeps its memory, and the gradient comes back as it is: no matrix, no Φ." }[cell];
    const gate = cell === "elman" ? null : row(tex(`${letter}_{${k}}`), brackets(numbers.pass.layers[l - 1].kept[k - 1][letter]));
    return { title: `From step ${k - 1} to ${stepName(k)}, past the matrix`, lines: equationsOf(cell === "lstm" ? "c_k" : "s_k"), rows: [gate, row("on average", number(mean, 3)), ...overEdge({ kind: "lane", layer, k }, tex(symbol))], say: outside(k) ?? why };
  },
};
