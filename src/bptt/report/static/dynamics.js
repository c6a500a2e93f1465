// The network as a dynamical system: Lyapunov spectrum, singular values of products of Jacobians, activations; and
// the diagnosis in words.

import { byId, el } from "./dom.js";
import { chart, color, logarithmic, redraw } from "./charts.js";
import { number } from "./format.js";
import { HUES } from "./reach.js";
import { store } from "./store.js";

const SEVERITIES = { fine: "Fine", note: "Note", warning: "Warning" };
const MARKS = ["circle", "diamond", "square", "triangle-up"];

export function setUpDynamics() {
  chart("lyapunov", lyapunovFigure);
  chart("singular", singularFigure);
  chart("activations", activationFigure);
  showDynamics();
}

/** The diagnosis in words, and its charts again. */
export function showDynamics() {
  const { diagnosis } = store.page;
  const short = "A verdict needs at least 8 steps: this sequence is too short to see a gradient fade or grow.";
  byId("verdict").replaceChildren(
    diagnosis ? el("p", { class: `verdict ${diagnosis.severity}` }, el("strong", {}, `${SEVERITIES[diagnosis.severity]}. `), diagnosis.sentence) : el("p", { class: "say" }, short),
    ...(diagnosis?.notes ?? []).map((note) => el("p", { class: "verdict note" }, note)),
    diagnosis?.where ? el("p", { class: "say" }, `Measured on ${diagnosis.where}.`) : "",
    diagnosis?.remedies.length ? el("ul", {}, ...diagnosis.remedies.map((remedy) => el("li", {}, remedy))) : "",
  );
  for (const id of ["lyapunov", "singular"]) byId(id).closest("figure").hidden = !diagnosis?.layers.length;
  redraw(["lyapunov", "singular", "activations"]);
}

const layerName = (layer) => (store.network.layers.length > 1 ? `layer ${layer}` : "exponents");
const stroke = (i) => ({ color: color(HUES[i % HUES.length]), width: 2 });

function lyapunovFigure() {
  const layers = store.page.diagnosis?.layers ?? [];
  if (!layers.length) return null;
  return {
    label: `Lyapunov exponents; the largest is ${number(layers.at(-1).exponents[0], 3)}.`,
    data: layers.map(({ layer, exponents }, i) => ({
      x: exponents.map((_, j) => j + 1), y: exponents, name: layerName(layer), mode: "lines+markers", line: { ...stroke(i), width: 1 }, marker: { size: 8, symbol: MARKS[i % MARKS.length] },
    })),
    layout: {
      showlegend: layers.length > 1,
      xaxis: { title: { text: "number, the largest first" }, dtick: layers[0].exponents.length < 20 ? 1 : undefined },
      yaxis: { title: { text: "λ, per step" } },
      shapes: [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: 0, y1: 0, line: { color: color("ink"), width: 1, dash: "dot" } }],
    },
  };
}

/** For each number of steps the span from the least to the largest singular value, and the largest. */
function singularFigure() {
  const layers = store.page.diagnosis?.layers ?? [];
  if (!layers.length) return null;
  const { layer, product_lags: lags, singular_values: values } = layers.at(-1);
  const sizes = values[0].map((_, j) => j);
  return {
    label: `Singular values of products of Jacobians, layer ${layer}.`,
    data: sizes.map((j) => ({
      x: lags, y: values.map((row) => (row[j] > 0 ? row[j] : null)), name: j === 0 ? "largest" : `number ${j + 1}`, showlegend: j === 0, mode: "lines+markers",
      line: { color: color(j === 0 ? "back" : "soft"), width: j === 0 ? 2.5 : 1 }, marker: { size: j === 0 ? 6 : 3 },
    })),
    layout: {
      xaxis: { title: { text: "steps of the product ∂s<sub>k+n</sub>/∂s<sub>k</sub>, n" }, type: "log", tickvals: lags, ticktext: lags.map(String) },
      yaxis: { title: { text: "singular values" }, ...logarithmic(values) },
    },
  };
}

function activationFigure() {
  const { histograms, layers } = store.network;
  return {
    label: "Histogram of the states' values.",
    data: layers.map((layer, i) => {
      const { edges, counts } = histograms[layer];
      const middles = counts.map((_, j) => (edges[j] + edges[j + 1]) / 2);
      return { type: "bar", x: middles, y: counts, name: layers.length > 1 ? `layer ${layer}` : "states", marker: { color: color(HUES[i % HUES.length]), opacity: 0.8 }, hovertemplate: "%{y} values about %{x:.2f}<extra></extra>" };
    }),
    layout: { showlegend: layers.length > 1, bargap: 0.08, barmode: "group", xaxis: { title: { text: "value of a unit" } }, yaxis: { title: { text: "units × steps" } } },
  };
}
