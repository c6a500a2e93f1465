// A chart as SVG with a cursor that reads its values, and zoom and pan where there is more than a stretch to see.

import { el, set, svg } from "../view/dom.js";
import { axis, evenTicks, extent } from "./axes.js";
import { keysOf, shapesOf } from "./marks.js";
import { roundTicks, timesOf } from "./times.js";

const LETTER = 6.4; // pixels of a letter of a label
const CLOSEST = 8; // places that are shown at least

/** A figure drawn in an element.
 *
 * figure: {label, x, lines, say}, and where wanted {band, shades, rules, names, view, log, include, xLabel, yLabel}.
 * x: ascending numbers. lines: [{name, y, color, dash, width, as: "line", "bars" or "dots"}]. band: {name, low, high,
 * color}. shades: [{name, from, to, color}] over x. rules: [{name, y, color}], dashed. names: a text for each x.
 * say(i): the values at the cursor, in words. view: the stretch of x shown at first; with it come zoom and pan.
 * include: values that the vertical axis has anyhow.
 */
export class Plot {
  constructor(place, figure) {
    this.figure = figure;
    this.whole = extent(figure.x);
    this.times = figure.names && timesOf(figure.names);
    this.view = figure.view ?? this.whole;
    this.cursor = figure.x.length - 1;
    this.clip = `clip-${place.id}`;
    this.root = svg("svg", { class: figure.view ? "plot pannable" : "plot", tabindex: 0, role: "slider", "aria-label": figure.label, "aria-valuemin": 1, "aria-valuemax": figure.x.length });
    this.readout = el("p", { class: "readout" });
    place.replaceChildren(el("div", { class: "plot-head" }, keysOf(figure), figure.view ? this.buttons() : null), this.readout, this.root);
    set(this.root, { pointerdown: (event) => this.onPress(event), pointermove: (event) => this.onMove(event), keydown: (event) => this.onKey(event) });
    for (const name of ["pointerup", "pointercancel"]) this.root.addEventListener(name, () => (this.pressed = null));
    if (figure.view) this.root.addEventListener("wheel", (event) => this.onWheel(event), { passive: false });
    new ResizeObserver(() => this.draw()).observe(this.root);
    this.moveTo(this.cursor);
  }

  buttons() {
    const button = (text, label, click) => el("button", { type: "button", "aria-label": label, title: label, click }, text);
    return el(
      "span", { class: "buttons" },
      button("‹", "Earlier", () => this.pan(-0.5)), button("›", "Later", () => this.pan(0.5)),
      button("−", "Zoom out", () => this.zoom(2)), button("+", "Zoom in", () => this.zoom(0.5)),
      button("Last", "Last stretch", () => this.show(...this.figure.view)), button("All", "All rows", () => this.show(...this.whole)),
    );
  }

  /** Show the stretch from one x to another, as far as there is one. */
  show(from, to) {
    const [first, last] = this.whole;
    const length = Math.min(last - first, Math.max(to - from, CLOSEST));
    const start = Math.max(first, Math.min(from, last - length));
    this.view = [start, start + length];
    this.draw();
  }

  zoom(by, part = 0.5) {
    const [from, to] = this.view;
    const middle = from + part * (to - from);
    this.show(middle - by * (middle - from), middle + by * (to - middle));
  }

  pan(part) {
    const [from, to] = this.view;
    this.show(from + part * (to - from), to + part * (to - from));
  }

  draw() {
    const { figure, root, view } = this;
    const { width, height } = root.getBoundingClientRect();
    if (!width) return;
    const first = Math.max(0, figure.x.findIndex((value) => value >= view[0]) - 1);
    const stop = Math.min(figure.x.length, figure.x.findLastIndex((value) => value <= view[1]) + 2);
    const vertical = axis(this.valuesIn(first, stop), { log: figure.log, count: height / 48 });
    const left = 12 + LETTER * Math.max(2, ...vertical.ticks.map(({ text }) => text.length));
    const [right, top, low] = [width - 10, 8, height - (figure.xLabel ? 40 : 24)];
    const margin = figure.lines.some(({ as }) => as === "bars") ? 0.6 : 0.01 * (view[1] - view[0]);
    this.X = (x) => left + ((x - view[0] + margin) / (view[1] - view[0] + 2 * margin || 1)) * (right - left);
    this.Y = (y) => top + (1 - vertical.place(y)) * (low - top);
    this.frame = { left, right, top, low };
    this.line = svg("g", { class: "cursor" });
    const heights = vertical.ticks.flatMap(({ value, text }) => [svg("path", { class: "grid-line", d: `M${left} ${this.Y(value)}H${right}` }), svg("text", { x: left - 7, y: this.Y(value) + 4, "text-anchor": "end" }, text)]);
    const places = this.ticks().map(({ value, text }) => svg("text", { x: this.X(value), y: low + 17, "text-anchor": "middle" }, text));
    const below = figure.xLabel ? [svg("text", { x: (left + right) / 2, y: height - 5, "text-anchor": "middle" }, figure.xLabel)] : [];
    const within = svg("clipPath", { id: this.clip }, svg("rect", { x: left, y: 0, width: Math.max(0, right - left), height: low + 1 }));
    const shapes = shapesOf(figure, { first, stop, X: this.X, Y: this.Y, top, low });
    set(root, { viewBox: `0 0 ${width} ${height}` }).replaceChildren(svg("defs", {}, within), ...heights, ...places, ...below, svg("g", { "clip-path": `url(#${this.clip})` }, ...shapes.flat(), this.line));
    this.showCursor();
  }

  valuesIn(first, stop) {
    const { lines, band, rules = [], include = [] } = this.figure;
    const columns = [...lines.map(({ y }) => y), ...(band ? [band.low, band.high] : [])];
    return [...columns.flatMap((y) => y.slice(first, stop)), ...rules.map(({ y }) => y), ...include].filter(Number.isFinite);
  }

  /** Round times, whole numbers or names below the chart, none over another and none beyond its edges. */
  ticks() {
    const { figure: { names, x }, view, X, times } = this;
    const { left, right } = this.frame;
    const [first, stop] = [Math.max(0, Math.ceil(view[0] - x[0])), Math.min(x.length, Math.floor(view[1] - x[0]) + 1)];
    const round = times && roundTicks(times, { first, stop, X: (i) => X(x[i]), left: 0, right: right + 10, letter: LETTER });
    if (round) return round.map(({ i, text }) => ({ value: x[i], text }));
    const text = (value) => (names ? shortTime(names[value - x[0]] ?? "") : String(value));
    const longest = Math.max(...view.map((value) => text(Math.round(value)).length));
    const ticks = evenTicks(...view, Math.max(1, (right - left) / (LETTER * longest + 26)), 1);
    const found = ticks.map(({ value }) => ({ value, text: text(Math.round(value)) }));
    return found.filter(({ value, text: words }) => X(value) + (LETTER * words.length) / 2 <= right + 10);
  }

  /** Put the cursor on a place and say its values. */
  moveTo(cursor) {
    this.cursor = Math.max(0, Math.min(this.figure.x.length - 1, cursor));
    const words = this.figure.say(this.cursor);
    this.readout.textContent = words;
    set(this.root, { "aria-valuenow": this.cursor + 1, "aria-valuetext": words });
    if (this.frame) this.showCursor();
  }

  showCursor() {
    const { figure: { x, lines }, cursor, view } = this;
    const at = this.X(x[cursor]);
    const dots = lines.filter(({ y, as }) => as !== "bars" && Number.isFinite(y[cursor]) && Number.isFinite(this.Y(y[cursor])));
    const seen = x[cursor] >= view[0] && x[cursor] <= view[1];
    this.line.replaceChildren(...(seen ? [svg("path", { d: `M${at} ${this.frame.top}V${this.frame.low}` }), ...dots.map(({ y, color }) => svg("circle", { cx: at, cy: this.Y(y[cursor]), r: 3.4, fill: `var(--${color})` }))] : []));
  }

  onPress(event) {
    this.onMove(event);
    if (!this.figure.view) return;
    this.pressed = { at: event.clientX, view: this.view };
    this.root.setPointerCapture(event.pointerId);
  }

  /** Drag the chart, or put the cursor on the place nearest to the pointer. */
  onMove(event) {
    if (!this.frame) return;
    const { left, right } = this.frame;
    if (this.pressed) {
      const [from, to] = this.pressed.view;
      const by = ((this.pressed.at - event.clientX) * (to - from)) / (right - left);
      return this.show(from + by, to + by);
    }
    const pixels = event.clientX - this.root.getBoundingClientRect().left;
    const { x } = this.figure;
    const after = x.findIndex((value) => this.X(value) >= Math.min(pixels, right));
    const nearest = after > 0 && pixels - this.X(x[after - 1]) < this.X(x[after]) - pixels ? after - 1 : after;
    this.moveTo(after < 0 ? x.length - 1 : nearest);
  }

  /** Zoom where the wheel is turned with Ctrl, as a touchpad's pinch is. */
  onWheel(event) {
    if (!event.ctrlKey || !this.frame) return;
    event.preventDefault();
    const { left, right } = this.frame;
    this.zoom(2 ** (event.deltaY / 200), (event.clientX - this.root.getBoundingClientRect().left - left) / (right - left));
  }

  onKey(event) {
    const last = this.figure.x.length - 1;
    const to = { ArrowLeft: this.cursor - 1, ArrowRight: this.cursor + 1, PageUp: this.cursor + 10, PageDown: this.cursor - 10, Home: 0, End: last }[event.key];
    if (to !== undefined) this.goTo(to);
    else if (this.figure.view && "+-".includes(event.key)) this.zoom(event.key === "+" ? 0.5 : 2);
    else return;
    event.preventDefault();
  }

  /** Put the cursor on a place and bring it into view. */
  goTo(cursor) {
    this.moveTo(cursor);
    const at = this.figure.x[this.cursor];
    const [from, to] = this.view;
    if (at < from) this.show(at, at + to - from);
    else if (at > to) this.show(at - to + from, at);
  }
}

/** A time without an hour of midnight. */
export const shortTime = (time) => time.replace(/[T ]00:00(:00(\.0+)?)?$/, "");
