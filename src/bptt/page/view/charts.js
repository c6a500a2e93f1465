// Small charts as SVG: lines over a number, and bars; with their axes, and a table of the points for a screen reader.

import { el, svg } from "./dom.js";
import { number } from "./numbers.js";

const PAD = { left: 54, right: 14, top: 12, bottom: 40 };
const KEYS = 24; // pixels of the line above a chart that names its series

/** A chart of series [{name, x, y, color, dash, width}] in an element: lines, or bars where `bars` is set. */
export function lineChart(place, { series, xLabel, yLabel, log = false, zero = false, bars = false, marks = [], label }) {
  const width = Math.max(240, place.clientWidth);
  const hasKeys = series.length > 1;
  const height = Math.max(180, place.clientHeight || 240) - (hasKeys ? KEYS : 0);
  const points = series.flatMap(({ x, y }) => Array.from(x, (value, i) => [value, y[i]])).filter(([, y]) => Number.isFinite(y) && (!log || y > 0));
  if (!points.length) return place.replaceChildren(el("p", { class: "say" }, "Nothing to draw."));
  const xs = span(points.map(([x]) => x), false);
  const ys = span([...points.map(([, y]) => y), ...(zero ? [0] : []), ...marks], log);
  const X = (x) => PAD.left + ((x - xs.low) / (xs.high - xs.low || 1)) * (width - PAD.left - PAD.right);
  const position = log ? (y) => Math.log10(y) : (y) => y;
  const Y = (y) => height - PAD.bottom - ((position(y) - position(ys.low)) / (position(ys.high) - position(ys.low) || 1)) * (height - PAD.top - PAD.bottom);
  const root = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
  for (const tick of ys.ticks) root.append(svg("path", { class: "grid-line", d: `M${PAD.left} ${Y(tick)}H${width - PAD.right}` }), svg("text", { class: "tick", x: PAD.left - 6, y: Y(tick) + 4, "text-anchor": "end" }, number(tick, 2).replace(/^1·/, "")));
  for (const tick of xs.ticks) root.append(svg("text", { class: "tick", x: X(tick), y: height - PAD.bottom + 17, "text-anchor": "middle" }, number(tick, 3)));
  for (const mark of marks) root.append(svg("path", { class: "mark", d: `M${PAD.left} ${Y(mark)}H${width - PAD.right}` }));
  root.append(svg("text", { class: "axis", x: (PAD.left + width - PAD.right) / 2, y: height - 5, "text-anchor": "middle" }, xLabel), svg("text", { class: "axis", x: 12, y: (height - PAD.bottom + PAD.top) / 2, "text-anchor": "middle", transform: `rotate(-90 12 ${(height - PAD.bottom + PAD.top) / 2})` }, yLabel));
  for (const one of series) root.append(...(bars ? drawBars(one, X, Y, height) : drawLine(one, X, Y, log)));
  const keys = hasKeys ? el("p", { class: "keys" }, ...series.filter(({ name }) => name).map(({ name, color, dash }) => el("span", {}, keyLine(color, dash), name))) : "";
  place.replaceChildren(keys, root);
}

const keyLine = (color, dash) => svg("svg", { width: 22, height: 8, "aria-hidden": "true" }, svg("path", { d: "M0 4H22", stroke: `var(--${color})`, "stroke-width": 2, "stroke-dasharray": dash ?? null }));

function drawLine({ name, x, y, color, dash, width = 2 }, X, Y, log) {
  const there = Array.from(x, (value, i) => [value, y[i]]).filter(([, value]) => Number.isFinite(value) && (!log || value > 0));
  const path = there.map(([a, b], i) => `${i ? "L" : "M"}${X(a).toFixed(1)} ${Y(b).toFixed(1)}`).join("");
  const dots = there.length > 60 ? [] : there.map(([a, b]) => svg("circle", { cx: X(a).toFixed(1), cy: Y(b).toFixed(1), r: 2.6, fill: `var(--${color})` }, svg("title", {}, `${name ? `${name}: ` : ""}${number(a, 3)}, ${number(b, 3)}`)));
  return [svg("path", { d: path, fill: "none", stroke: `var(--${color})`, "stroke-width": width, "stroke-dasharray": dash ?? null }), ...dots];
}

function drawBars({ x, y, color }, X, Y, height) {
  const wide = Math.max(1, (X(x[1]) - X(x[0])) * 0.8);
  return Array.from(x, (value, i) => svg("rect", { x: X(value) - wide / 2, y: Y(y[i]), width: wide, height: Math.max(0, height - PAD.bottom - Y(y[i])), fill: `var(--${color})` }, svg("title", {}, `${number(value, 2)}: ${y[i]}`)));
}

/** The range of values, and some ticks in it. */
function span(values, log) {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    if (log && value <= 0) continue;
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  if (log) {
    const [first, last] = [Math.floor(Math.log10(low) + 1e-9), Math.ceil(Math.log10(high) - 1e-9)];
    const every = Math.max(1, Math.ceil((last - first) / 6));
    const ticks = [];
    for (let power = first; power <= Math.max(last, first + 1); power += every) ticks.push(10 ** power);
    return { low: 10 ** first, high: Math.max(10 ** last, ticks.at(-1)), ticks };
  }
  if (low === high) [low, high] = [low - 0.5, high + 0.5];
  const rough = Math.max((high - low) / 5, values.every(Number.isInteger) ? 1 : 0);
  const size = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((by) => by * size).find((by) => by >= rough);
  const ticks = [];
  for (let i = Math.ceil(low / step - 1e-9); i <= high / step + 1e-9; i++) ticks.push(Number((i * step).toPrecision(12)));
  return { low, high, ticks };
}

/** A triangular map of rows [t][k] as squares on a canvas, dark where the logarithm is large; choose(t, k) at a click. */
export function heatMap(place, { rows, label, choose, t }) {
  const T = rows.length;
  const side = Math.min(place.clientWidth - 40, 340);
  const canvas = el("canvas", { width: 2 * side, height: 2 * side, style: `width:${side}px;height:${side}px`, role: "img", "aria-label": label });
  const paint = canvas.getContext("2d");
  const style = getComputedStyle(document.documentElement);
  const [low, high] = ["--map-low", "--map-high"].map((name) => rgb(style.getPropertyValue(name).trim()));
  const logs = rows.map((row) => row.map((value) => (value > 0 ? Math.log10(value) : -Infinity)));
  const flat = logs.flat().filter(Number.isFinite);
  const most = flat.reduce((a, b) => Math.max(a, b), -Infinity);
  const least = Math.max(most - 6, flat.reduce((a, b) => Math.min(a, b), Infinity));
  const size = (2 * side) / T;
  logs.forEach((row, i) => row.forEach((value, j) => {
    const part = Math.max(0, Math.min(1, (value - least) / (most - least || 1)));
    paint.fillStyle = `rgb(${low.map((from, c) => Math.round(from + part * (high[c] - from))).join(" ")})`;
    paint.fillRect(Math.floor(j * size), Math.floor(i * size), Math.ceil(size), Math.ceil(size));
  }));
  paint.strokeStyle = style.getPropertyValue("--ink");
  paint.lineWidth = 2;
  paint.strokeRect(1, (t - 1) * size, t * size, size);
  canvas.addEventListener("click", (event) => {
    const found = [event.offsetY, event.offsetX].map((at) => Math.min(T, Math.max(1, Math.ceil((at / side) * T))));
    choose(found[0], Math.min(...found));
  });
  place.replaceChildren(canvas, el("p", { class: "say" }, `Rows: the error of step t, 1 to ${T}. Columns: the step k that it reaches. From ${number(10 ** least, 2)} (pale) to ${number(10 ** most, 2)}.`));
}

const rgb = (hex) => [1, 3, 5].map((i) => Number.parseInt(hex.slice(i, i + 2), 16));
