// Sequences that were classified wrongly, each drawn on its own.

import { byId, el, svg } from "../view/dom.js";
import { percent } from "../view/numbers.js";
import { extent } from "./axes.js";

const WIDTH = 200;
const HEIGHT = 90;
const COLUMN_HUES = ["forward", "back", "green", "purple"];

export function drawExamples(examples) {
  byId("examples").replaceChildren(...examples.map(card));
}

function card({ name, truth, predicted, probability, values }) {
  const [low, high] = extent(values.flat());
  const path = (column) => column.map((value, i) => (value === null ? "" : `${i === 0 || column[i - 1] === null ? "M" : "L"}${((i * WIDTH) / Math.max(1, column.length - 1)).toFixed(1)} ${(4 + ((HEIGHT - 8) * (high - value)) / (high - low || 1)).toFixed(1)}`)).join("");
  const lines = values.map((column, i) => svg("path", { d: path(column), fill: "none", stroke: `var(--${COLUMN_HUES[i % 4]})`, "stroke-width": 1.6, "vector-effect": "non-scaling-stroke" }));
  const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": `Sequence ${name}` }, ...lines);
  return el("li", {}, picture, el("p", {}, el("b", {}, `${truth}`), ` taken for `, el("b", {}, `${predicted}`), ` (${percent(probability)})`), el("p", { class: "say" }, `sequence ${name}`));
}
