// Gradient descent: a step, or one after the other; the error's curve; what to do when it diverges.

import { descended, gradients } from "../compute/network.js";
import { byId, el, set } from "./dom.js";
import { field } from "./fields.js";
import { number } from "./numbers.js";
import { edit, numbers, page, state, undo } from "./store.js";
import { tex } from "./tex.js";

const FRAME = 60; // milliseconds between two steps of a run
const DIVERGED = 1e4; // times the error at its start

let errors = []; // after each step, the first one before any
let rate = 0.1;
let clip = NaN;
let going = null; // the next step of a run, as a timer; null where none runs

export function setUpDescent() {
  if (page.recorded) return;
  byId("rate-place").append(field(rate, "learning rate", (value) => (value > 0 && value <= 1000 ? void (rate = value) : "the rate must be above 0 and at most 1000")));
  byId("clip-place").append(field(NaN, "clip the gradient's norm at, empty for never", (value) => (Number.isNaN(value) || value > 0 ? void (clip = value) : "the norm to clip at must be above 0, or empty")));
  byId("descend").addEventListener("click", () => {
    pause();
    takeStep();
  });
  byId("run").addEventListener("click", () => (going === null ? run() : pause()));
  byId("over").addEventListener("change", startCurve);
  byId("undo-run").addEventListener("click", () => {
    pause();
    undo();
  });
  startCurve();
}

/** Set the rate and the norm to clip at, as a chapter wants them. */
export function setDescent(newRate, newClip = NaN) {
  [rate, clip] = [newRate, newClip];
  for (const [place, value] of [["rate-place", rate], ["clip-place", clip]]) {
    const input = byId(place).querySelector("input");
    input.kept = value;
    input.value = Number.isNaN(value) ? "" : value;
  }
}

const overAll = () => byId("over").value === "all";

function errorNow() {
  const { errors: all } = numbers.pass;
  return overAll() ? all.reduce((sum, error) => sum + error, 0) : all[state.t - 1];
}

/** One step; whether another one makes sense. */
function takeStep(same = false) {
  const gradient = gradients(state.network, numbers.network, numbers.pass, overAll() ? null : state.t, state.k2 ?? Infinity);
  const weights = descended(state.network.weights, gradient, rate, Number.isNaN(clip) ? Infinity : clip);
  const now = [...errors];
  descending = true;
  edit({ network: { ...state.network, weights } }, same);
  descending = false;
  errors = [...now, errorNow()];
  showCurve();
  return !diverged();
}

let descending = false;

const diverged = () => !Number.isFinite(errors.at(-1)) || errors.at(-1) > DIVERGED * Math.max(errors[0], 1e-3);

function run() {
  byId("run").textContent = "Pause";
  const tick = (same) => {
    if (takeStep(same)) going = setTimeout(tick, FRAME, true);
    else pause();
  };
  tick(false);
}

export function pause() {
  clearTimeout(going);
  going = null;
  byId("run").textContent = "Run";
}

/** Begin the curve from what holds now; an edit of any other kind does so. */
export function startCurve() {
  if (page.recorded || descending) return;
  errors = [errorNow()];
  showCurve();
}

function showCurve() {
  const name = overAll() ? "\\sum E" : `E_{${state.t}}`;
  const last = errors.at(-1);
  const steps = errors.length - 1;
  byId("fall").replaceChildren(tex(`${name} = `), steps ? `${number(errors[0])} → ${number(last)}` : number(last), el("small", {}, steps ? ` after ${steps} step${steps > 1 ? "s" : ""}` : ""));
  byId("diverged").hidden = !diverged();
  const shown = errors.filter(Number.isFinite);
  const most = Math.max(...shown, 1e-12);
  const points = shown.map((error, i) => `${4 + (292 * i) / Math.max(1, shown.length - 1)},${66 - (60 * error) / most}`);
  set(byId("curve").querySelector("polyline"), { points: points.join(" ") });
  const [x, y] = (points.at(-1) ?? "4,66").split(",");
  set(byId("curve").querySelector("circle"), { cx: x, cy: y });
  set(byId("curve"), { "aria-label": `The error after each step, from ${number(errors[0], 3)} to ${number(last, 3)}` });
}

