// What a chart draws over its numbers: areas, a band, rules, lines, bars and dots; and the keys to them.

import { el, svg } from "../view/dom.js";

const CROWDED = 30; // more places have no dot each
const MOST_POINTS = 1600; // points of a line that are drawn singly

/** The shapes of a figure between two places of it. X and Y place values, `low` is the bottom. */
export function shapesOf(figure, { first, stop, X, Y, top, low }) {
  const { x, log, lines, band, shades = [], rules = [] } = figure;
  const here = Array.from({ length: Math.max(0, stop - first) }, (_, i) => first + i);
  const isThere = (value) => Number.isFinite(value) && !(log && value <= 0);
  const point = (y, i) => `${X(x[i]).toFixed(1)} ${Y(y[i]).toFixed(1)}`;
  const areas = shades.map(({ from, to, color }) => svg("rect", { x: X(from), y: top, width: Math.max(0, X(to) - X(from)), height: low - top, fill: ink(color), "fill-opacity": 0.1 }));
  const dashes = rules.map(({ y, color, dash = "3 3" }) => svg("path", { d: `M${X(x[0] - 1)} ${Y(y)}H${X(x.at(-1) + 1)}`, stroke: ink(color), "stroke-width": 1.5, "stroke-dasharray": dash }));
  return [...areas, ...(band ? [bandOf(band)] : []), ...dashes, ...lines.map(drawn)];

  function drawn({ y, color, dash, width = 2, as }) {
    const there = here.filter((i) => isThere(y[i]));
    if (as === "dots") return there.map((i) => svg("circle", { class: "dot", cx: X(x[i]), cy: Y(y[i]), r: 4, stroke: ink(color) }));
    if (as === "bars") return there.map((i) => bar(i, y, color));
    const line = svg("path", { d: linePath(y), fill: "none", stroke: ink(color), "stroke-width": width, "stroke-dasharray": dash, "stroke-linejoin": "round" });
    const dots = stop - first > CROWDED ? [] : there.map((i) => svg("circle", { cx: X(x[i]), cy: Y(y[i]), r: 2.6, fill: ink(color) }));
    return [line, ...dots];
  }

  function bar(i, y, color) {
    const wide = Math.max(1, 0.7 * (X(1) - X(0)));
    return svg("rect", { x: X(x[i]) - wide / 2, y: Math.min(Y(y[i]), Y(0)), width: wide, height: Math.abs(Y(y[i]) - Y(0)), fill: ink(color) });
  }

  /** Of many places the least and the largest of each few, so that no peak is lost. */
  function linePath(y) {
    const each = Math.max(1, Math.ceil(here.length / MOST_POINTS));
    let path = "";
    let pen = "M";
    for (let start = 0; start < here.length; start += each) {
      const some = here.slice(start, start + each).filter((i) => isThere(y[i]));
      if (!some.length) pen = "M";
      for (const i of some.length > 2 ? ends(some, y) : some) {
        path += pen + point(y, i);
        pen = "L";
      }
    }
    return path;
  }

  function bandOf({ low: lower, high: upper, color }) {
    const runs = [];
    for (const i of here.filter((i) => isThere(lower[i]) && isThere(upper[i]))) {
      if (runs.at(-1)?.at(-1) === i - 1) runs.at(-1).push(i);
      else runs.push([i]);
    }
    const path = (run) => `M${run.map((i) => point(upper, i)).join("L")}L${run.toReversed().map((i) => point(lower, i)).join("L")}Z`;
    return svg("path", { d: runs.map(path).join(""), fill: ink(color), "fill-opacity": 0.22 });
  }
}

const ink = (color) => `var(--${color})`;

function ends(some, y) {
  const least = some.reduce((a, b) => (y[b] < y[a] ? b : a));
  const largest = some.reduce((a, b) => (y[b] > y[a] ? b : a));
  return least < largest ? [least, largest] : [largest, least];
}

/** The unit of a figure's values, and a key to each of its shapes. */
export function keysOf({ lines, band, shades = [], rules = [], yLabel }) {
  const key = (name, tag, attributes) => el("span", {}, svg("svg", { width: 22, height: 10, "aria-hidden": "true" }, svg(tag, attributes)), name);
  const area = ({ name, color }) => key(name, "rect", { width: 22, height: 10, fill: ink(color), "fill-opacity": 0.3 });
  const stroke = ({ name, color, dash, width = 2 }) => key(name, "path", { d: "M0 5H22", stroke: ink(color), "stroke-width": width, "stroke-dasharray": dash });
  const shapes = { dots: ({ name, color }) => key(name, "circle", { class: "dot", cx: 11, cy: 5, r: 4, stroke: ink(color) }), bars: area };
  return el(
    "p", { class: "keys" }, yLabel ? el("b", {}, yLabel) : null,
    lines.filter(({ name }) => name).map((one) => (shapes[one.as] ?? stroke)(one)),
    band ? area(band) : null,
    rules.filter(({ name }) => name).map((rule) => stroke({ dash: "3 3", width: 1.5, ...rule })),
    shades.map(area),
  );
}
