// The results of a training run: forecast against truth, loss, and the gradient by lag while it trained.

import { chart, color } from "./plotly.js";
import { number } from "./numbers.js";
import { page } from "./store.js";

export function setUpRun() {
  if (!page.run) return;
  if (page.run.judged.rows?.time.length) chart("forecast", forecastFigure);
  chart("losses", lossFigure);
  chart("training-lags", trainingFigure);
}

const MARKUP = /[<>&]/g;

/** A user's text where plotly would read markup. */
const plain = (text) => String(text).replace(MARKUP, (c) => ({ "<": "&lt;", ">": "&gt;", "&": "&amp;" })[c]);

function forecastFigure() {
  const { target, judged } = page.run;
  const { time, truth, forecast, lower, upper } = judged.rows;
  const edge = { x: time, mode: "lines", line: { width: 0, color: color("forward") }, hoverinfo: "skip", showlegend: false };
  const band = lower.some((end) => end !== null)
    ? [{ ...edge, y: upper }, { ...edge, y: lower, name: "interval", fill: "tonexty", opacity: 0.25, showlegend: true }]
    : [];
  return {
    label: `Forecast and truth of ${target} over time.`,
    data: [
      ...band,
      { x: time, y: truth, name: "truth", mode: "lines", line: { color: color("soft"), width: 2.5 } },
      { x: time, y: forecast, name: "forecast", mode: "lines", line: { color: color("forward"), width: 1.5 } },
    ],
    layout: {
      hovermode: "x unified",
      xaxis: {},
      yaxis: { title: { text: plain(target) } },
      shapes: judged.spans.map(([, x0, x1]) => ({ type: "rect", xref: "x", yref: "paper", x0, x1, y0: 0, y1: 1, fillcolor: color("back"), opacity: 0.1, line: { width: 0 } })),
    },
  };
}

function lossFigure() {
  const { run } = page;
  const epochs = run.losses.map((_, i) => i + 1);
  const line = (y, name, hue, dash) => ({ x: epochs, y, name, mode: "lines", line: { color: color(hue), dash, width: 2 } });
  const data = [line(run.losses, "training", "forward", "solid")];
  if (run.validation.length) data.push(line(run.validation, "validation", "back", "dash"));
  return {
    label: `Loss by epoch, from ${number(run.losses[0], 3)} to ${number(run.losses.at(-1), 3)}.`,
    data,
    layout: { xaxis: { title: { text: "epoch" } }, yaxis: { title: { text: run.loss }, type: "log", dtick: "D2" } },
  };
}

function trainingFigure() {
  const { lags } = page.run;
  const z = lags.map(({ norms }) => norms.map((value) => (value > 0 ? Math.log10(value) : null)));
  const text = lags.map(({ epoch, norms }) => norms.map((value, lag) => `epoch ${epoch}, lag ${lag}: ${number(value, 3)}`));
  const epochs = lags.map(({ epoch }) => `${epoch}`);
  return {
    label: "Size of the gradient by lag, over training.",
    data: [
      {
        type: "heatmap", y: epochs, z, text, hoverinfo: "text", colorscale: [[0, color("map-low")], [0.5, color("map-middle")], [1, color("map-high")]],
        colorbar: { thickness: 10, outlinewidth: 0, title: { text: "log₁₀", side: "top" }, len: 0.9 },
      },
    ],
    layout: { showlegend: false, xaxis: { title: { text: "lag (steps back)" }, showgrid: false }, yaxis: { title: { text: "epoch" }, type: "category", showgrid: false } },
  };
}
