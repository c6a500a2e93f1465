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
  const point = (column, i) => `${((i * WIDTH) / Math.max(1, column.length - 1)).toFixed(1)} ${(4 + ((HEIGHT - 8) * (high - column[i])) / (high - low || 1)).toFixed(1)}`;
  const isThere = (column, i) => typeof column[i] === "number";
  const path = (column) => column.map((_, i) => (isThere(column, i) ? (isThere(column, i - 1) ? "L" : "M") + point(column, i) : "")).join("");
  const alone = (column) => column.map((_, i) => (isThere(column, i) && !isThere(column, i - 1) && !isThere(column, i + 1) ? `M${point(column, i)}h0` : "")).join("");
  const drawn = (d, i, width) => svg("path", { d, fill: "none", stroke: `var(--${COLUMN_HUES[i % 4]})`, "stroke-width": width, "stroke-linecap": "round", "vector-effect": "non-scaling-stroke" });
  const lines = values.flatMap((column, i) => [drawn(path(column), i, 1.6), ...(alone(column) ? [drawn(alone(column), i, 4)] : [])]);
  const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": `Sequence ${name}` }, ...lines);
  return el("li", {}, picture, el("p", {}, el("b", {}, `${truth}`), ` taken for `, el("b", {}, `${predicted}`), ` (${percent(probability)})`), el("p", { class: "say" }, `sequence ${name}`));
}
