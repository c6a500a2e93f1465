// How far back the gradient reaches: the map over (t, k), and the curve by lag.

import { byId, el } from "./dom.js";
import { chart, color, logarithmic, redraw } from "./charts.js";
import { number } from "./format.js";
import { letters } from "./formula.js";
import { change, store, weightOf } from "./store.js";

const LINES = ["solid", "dash", "dot", "dashdot"];
export const HUES = ["forward", "back", "green", "purple", "soft"];

export function setUpReach() {
  byId("map-choice").addEventListener("change", () => redraw(["map"]));
  chart("map", mapFigure);
  chart("lags", lagFigure);
}

/** The choice of maps, for the network there is now. */
export function showMapChoice() {
  const choice = byId("map-choice");
  const before = choice.value;
  const options = store.network.heat.map(({ name, kind }) => el("option", { value: `${kind} ${name}` }, mapName(name, kind)));
  choice.replaceChildren(...options);
  if ([...choice.options].some((option) => option.value === before)) choice.value = before;
}

function mapName(name, kind) {
  const layers = store.network.layers.length > 1;
  if (kind === "flow") return `gradient at the states${layers ? `, layer ${name}` : ""}`;
  return `contributions to ${weightOf(name).label}`;
}

function mapFigure() {
  const { network } = store;
  const chosen = byId("map-choice").value;
  const heat = network.heat.find(({ name, kind }) => `${kind} ${name}` === chosen) ?? network.heat[0];
  const n = heat.values.length;
  const steps = Array.from({ length: n }, (_, i) => i * heat.step + (heat.step + 1) / 2);
  const size = (v) => (v === undefined || v === null ? null : v);
  const z = heat.values.map((row) => steps.map((_, k) => (row[k] > 0 ? Math.log10(row[k]) : null)));
  const span = (i) => (heat.step === 1 ? `${i + 1}` : `${i * heat.step + 1}–${Math.min(network.steps, (i + 1) * heat.step)}`);
  const text = heat.values.map((row, t) => steps.map((_, k) => (size(row[k]) === null ? "" : `t = ${span(t)}, k = ${span(k)}: ${number(row[k], 3)}`)));
  return {
    label: `Map of the ${mapName(heat.name, heat.kind)}: rows t, columns k, darker is larger.`,
    data: [
      {
        type: "heatmap", x: steps, y: steps, z, text, hoverinfo: "text", colorscale: scale(), xgap: n < 40 ? 1 : 0, ygap: n < 40 ? 1 : 0,
        colorbar: { thickness: 10, outlinewidth: 0, title: { text: "log₁₀", side: "top" }, len: 0.9 },
      },
    ],
    layout: {
      showlegend: false,
      xaxis: { title: { text: "step k that it reaches" }, showgrid: false, ...whole(network.steps), range: [0.5, network.steps + 0.5] },
      yaxis: { title: { text: "error of step t" }, showgrid: false, ...whole(network.steps), range: [network.steps + 0.5, 0.5] },
      shapes: [{ type: "rect", x0: 0.5, x1: store.t + 0.5, y0: store.t - heat.step / 2, y1: store.t + heat.step / 2, line: { color: color("ink"), width: 1.5 } }],
    },
    click: (point) => {
      const t = Math.min(network.steps, Math.round(point.y));
      const k = Math.min(t, Math.round(point.x));
      change({ t, selected: { kind: "s", layer: store.network.layers.at(-1), k } });
    },
  };
}

/** Ticks at whole numbers where there are few of them. */
const whole = (steps) => (steps <= 12 ? { dtick: 1 } : {});

const scale = () => [[0, color("map-low")], [0.5, color("map-middle")], [1, color("map-high")]];

function lagFigure() {
  const { network } = store;
  const data = network.layers.map((layer, i) => ({
    x: network.lags[layer].map((_, lag) => lag),
    y: network.lags[layer].map((value) => value || null),
    name: network.layers.length > 1 ? `layer ${layer}, mean over t` : "mean over t",
    mode: "lines+markers",
    line: { color: color(HUES[i % HUES.length]), dash: LINES[i % LINES.length], width: 2 },
    marker: { size: network.steps > 60 ? 2 : 5 },
  }));
  const top = network.layers.at(-1);
  const own = network.backward.flow[top][store.t - 1];
  data.push({ x: own.map((_, lag) => lag), y: own.map((value) => value || null), name: `t = ${store.t}`, mode: "lines+markers", line: { color: color("back"), width: 1.5 }, marker: { size: 5, symbol: "diamond-open" } });
  return {
    label: "Size of the gradient by lag.",
    data,
    layout: {
      xaxis: { title: { text: "lag t − k (steps back)" }, rangemode: "tozero", ...whole(network.steps) },
      yaxis: { title: { text: "‖∂E<sub>t</sub>/∂s<sub>k</sub>‖" }, ...logarithmic(data.map(({ y }) => y)) },
    },
  };
}
