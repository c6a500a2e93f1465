// The results of a training run: its forecasts or examples, its loss, and the gradient by lag while it trained.

import { byId, el } from "../view/dom.js";
import { number } from "../view/numbers.js";
import { page } from "../view/store.js";
import { drawExamples } from "./examples.js";
import { setUpForecast } from "./forecast.js";
import { Plot } from "./plot.js";

const LAG_LINES = 5; // epochs of which the gradient by lag is drawn
const SIMPLE_LINES = [["purple", "6 3"], ["green", "2 3"], ["back", "8 3 2 3"], ["soft", "4 4"]];

export function setUpResults() {
  const { run } = page;
  if (!run) return;
  if (run.forecast) setUpForecast(run.forecast);
  if (run.judged.wrong.length) drawExamples(run.judged.wrong);
  new Plot(byId("losses"), lossFigure(run));
  new Plot(byId("training-lags"), lagFigure(run));
  watchTables();
}

function lossFigure({ losses, validation, simple, loss }) {
  const epochs = losses.map((_, i) => i + 1);
  const lines = [{ name: "training", y: losses, color: "forward" }];
  if (validation.length) lines.push({ name: "validation", y: validation, color: "back", dash: "6 3" });
  return {
    label: `Loss by epoch, from ${number(losses[0], 3)} to ${number(losses.at(-1), 3)}.`,
    x: epochs,
    lines,
    rules: Object.entries(simple).filter(([, y]) => y > 0).map(([name, y], i) => ({ name: `${name}: ${number(y, 3)}`, y, color: SIMPLE_LINES[i % 4][0], dash: SIMPLE_LINES[i % 4][1] })),
    log: true,
    xLabel: "epoch",
    yLabel: loss,
    say: (i) => `Epoch ${i + 1}: ${lines.map(({ name, y }) => `${name} ${number(y[i], 3)}`).join(", ")}`,
  };
}

/** The gradient by lag at a few epochs, each a line. */
function lagFigure({ lags }) {
  const some = lags.length <= LAG_LINES ? lags : Array.from({ length: LAG_LINES }, (_, i) => lags[Math.round((i * (lags.length - 1)) / (LAG_LINES - 1))]);
  const colors = ["soft", "green", "forward", "purple", "back"];
  const name = (epoch, i) => (i === some.length - 1 ? "trained" : epoch === 0 ? "before training" : `epoch ${epoch}`);
  const lines = some.map(({ epoch, norms }, i) => ({ name: name(epoch, i), y: norms, color: colors[i + LAG_LINES - some.length], width: 1.6 }));
  return {
    label: "Size of the gradient by lag, over training.",
    x: some[0].norms.map((_, lag) => lag),
    lines,
    log: true,
    xLabel: "lag (steps back)",
    yLabel: "norm of the gradient",
    say: (lag) => `Lag ${lag}: ${lines.map(({ name, y }) => `${name} ${number(y[lag], 2)}`).join(", ")}`,
  };
}

/** Say where a table goes on beyond the edge. */
function watchTables() {
  for (const place of document.querySelectorAll("#results .wide")) {
    const hint = el("p", { class: "scroll-hint", "aria-hidden": "true" }, "Scroll sideways for more →");
    place.before(hint);
    new ResizeObserver(() => (hint.hidden = place.scrollWidth <= place.clientWidth + 1)).observe(place);
  }
}
