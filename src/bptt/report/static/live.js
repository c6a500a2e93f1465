// What a reader may change while `bptt explore` answers; without it, a line that says so.

import { byId, el, set } from "./dom.js";
import { number } from "./format.js";
import { formula, letters } from "./formula.js";
import { drawn } from "./diagram.js";
import { packed, unpacked } from "./link.js";
import { showDynamics } from "./dynamics.js";
import { change, store, weightOf } from "./store.js";

const GRID = 16; // rows and columns of a matrix that can be edited
const PAUSE = 300; // milliseconds without a further change after which the diagnosis is asked for
const TOGETHER = 40; // numbers of weights up to which all matrices stand side by side

let changes = {}; // how the network and its sequence differ from the start
let errors = []; // the error after each step of gradient descent
let asked = null; // the request that waits while another one is answered
let answering = false;

export const isLive = () => Boolean(store.page.live);

export function setUpLive() {
  if (!isLive()) return;
  const { live } = store.page;
  byId("live").hidden = false;
  byId("offline").hidden = true;
  fill("activation", live.activations);
  fill("loss", live.losses);
  set(byId("steps"), { max: live.most_steps });
  byId("elman-only").hidden = !live.activations.length;
  byId("activation").addEventListener("change", (event) => ask({ activation: event.target.value }));
  byId("loss").addEventListener("change", (event) => ask({ loss: event.target.value }));
  byId("leak").addEventListener("input", (event) => ask({ leak: Number(event.target.value) }));
  byId("steps").addEventListener("change", (event) => ask({ steps: Number(event.target.value) }));
  byId("which").addEventListener("change", showWeights);
  byId("descend").addEventListener("click", descend);
  byId("over").addEventListener("change", () => startCurve());
  byId("reset").addEventListener("click", reset);
  byId("share").addEventListener("click", share);
  showControls();
  startCurve();
}

const fill = (id, names) => byId(id).replaceChildren(...names.map((name) => el("option", { value: name }, name.replace("_", " "))));

/** Show in the controls what holds now; a control that is being edited is left alone. */
export function showControls() {
  if (!isLive()) return;
  const { network } = store;
  byId("activation").value = network.activation;
  byId("loss").value = network.loss;
  byId("leak").value = network.leak;
  byId("leak-value").textContent = number(network.leak, 3);
  byId("steps").value = network.steps;
  const editable = network.weights.filter((weight) => weight.values);
  const which = byId("which");
  const together = editable.flatMap((weight) => weight.values.flat()).length <= TOGETHER;
  which.parentElement.hidden = together || !editable.length;
  const before = which.value;
  which.replaceChildren(...editable.map((weight) => el("option", { value: weight.name }, weight.label)));
  if (editable.some((weight) => weight.name === before)) which.value = before;
  byId("descent").hidden = !editable.length;
  showWeights();
  showSequence();
}

function showWeights() {
  const editable = store.network.weights.filter((weight) => weight.values);
  const together = byId("which").parentElement.hidden;
  const shown = together ? editable : editable.filter((weight) => weight.name === byId("which").value);
  const say = editable.length ? [] : [el("p", { class: "say" }, "This network has too many weights to be changed by hand.")];
  kept(byId("weights"), () => [...say, ...shown.map(weightGrid)]);
}

function weightGrid(weight) {
  const rows = Array.isArray(weight.values[0]) ? weight.values : [weight.values];
  const edit = (i, j) => (value) => {
    const values = structuredClone(weightOf(weight.name).values);
    if (Array.isArray(values[0])) values[i][j] = value;
    else values[j] = value;
    ask({ weights: { ...changes.weights, [weight.name]: values } });
  };
  const caption = el("figcaption", {}, formula(letters(weight.label)), el("small", {}, weight.shape.join(" × ")));
  return el("figure", { class: "grid" }, caption, grid(rows, (i, j) => `${weight.label}, row ${i + 1}, column ${j + 1}`, edit));
}

function grid(rows, name, edit) {
  const cut = rows.length > GRID || rows[0].length > GRID;
  const body = rows.slice(0, GRID).map((row, i) => el("tr", {}, ...row.slice(0, GRID).map((value, j) => el("td", {}, entry(value, name(i, j), edit(i, j))))));
  return el("div", { class: "wide" }, el("table", {}, ...body), cut ? el("small", {}, `the first ${GRID} rows and columns`) : null);
}

function entry(value, name, edit) {
  const shown = value === null ? "" : Number(value.toPrecision(4));
  const input = el("input", { type: "number", step: "0.1", value: shown, "aria-label": name, "data-key": name });
  input.addEventListener("input", () => {
    if (input.value !== "" && Number.isFinite(input.valueAsNumber)) edit(input.valueAsNumber);
  });
  return input;
}

/** The steps that are drawn, their x and d to be edited. */
function showSequence() {
  const { network } = store;
  const { first, n } = drawn();
  const steps = Array.from({ length: n }, (_, i) => first + i);
  const classes = !Array.isArray(network.d[0]);
  const head = el("tr", {}, el("th", { scope: "col" }, "step"), ...network.x[0].map((_, j) => el("th", { scope: "col" }, formula(`x_${j + 1}`))), ...(classes ? [0] : network.d[0]).map((_, j) => el("th", { scope: "col" }, classes ? "class d" : formula(`d_${j + 1}`))));
  const edit = (part, k, j) => (value) => {
    const rows = structuredClone(store.network[part]);
    if (Array.isArray(rows[k - 1])) rows[k - 1][j] = value;
    else rows[k - 1] = Math.round(value);
    ask({ [part]: rows });
  };
  const cells = (part, k) => {
    const row = network[part][k - 1];
    return (Array.isArray(row) ? row : [row]).map((value, j) => el("td", {}, entry(value, `${part}${j + 1} at step ${k}`, edit(part, k, j))));
  };
  const rows = steps.map((k) => el("tr", {}, el("th", { scope: "row" }, String(k)), ...cells("x", k), ...cells("d", k)));
  kept(byId("sequence"), () => [el("table", {}, el("thead", {}, head), el("tbody", {}, ...rows))]);
}

/** Refill a place; where its fields stay the same only their values change, and not that of the one being edited. */
function kept(place, make) {
  const fresh = el("div", {}, ...make());
  const fields = (parent) => [...parent.querySelectorAll("[data-key]")];
  const [before, after] = [fields(place), fields(fresh)];
  const same = before.length && before.map((field) => field.dataset.key).join() === after.map((field) => field.dataset.key).join();
  if (!same) return place.replaceChildren(...fresh.childNodes);
  before.forEach((field, i) => {
    if (field !== document.activeElement) field.value = after[i].value;
  });
}

/** Ask for all numbers under these changes; the newest question wins. */
function ask(further) {
  changes = { ...changes, ...further };
  return send("api/explore", { changes }).then((answer) => answer && startCurve());
}

async function descend() {
  const over = byId("over").value;
  const rate = byId("rate").valueAsNumber;
  const t = over === "t" ? store.t : null;
  const answer = await send("api/descend", { changes, rate, t });
  if (!answer) return;
  changes = { ...changes, weights: answer.weights };
  errors.push(errorNow());
  showCurve();
}

function reset() {
  changes = {};
  return send("api/explore", { changes }).then(() => startCurve());
}

/** One question at a time; while it is answered only the newest further one is kept. */
async function send(path, body) {
  if (answering) {
    asked?.resolve(null);
    return new Promise((resolve) => (asked = { path, body, resolve }));
  }
  answering = true;
  const answer = await post(path, body);
  answering = false;
  if (answer) take(answer);
  if (answer && !asked) diagnoseAnew();
  if (asked) {
    const next = asked;
    asked = null;
    send(next.path, next.body).then(next.resolve);
  }
  return answer;
}

let diagnosing = 0; // the question after a diagnosis that counts

/** The diagnosis takes longer than the rest: it comes when the reader pauses. */
async function diagnoseAnew() {
  const mine = ++diagnosing;
  byId("verdict").classList.add("stale");
  await new Promise((resolve) => setTimeout(resolve, PAUSE));
  if (mine !== diagnosing) return;
  const answer = await post("api/diagnose", { changes });
  if (!answer || mine !== diagnosing) return;
  store.page.diagnosis = answer.diagnosis;
  byId("verdict").classList.remove("stale");
  showDynamics();
}

async function post(path, body) {
  const started = performance.now();
  const say = (text, wrong) => {
    byId("status").textContent = text;
    byId("status").classList.toggle("wrong", wrong);
  };
  try {
    const query = new URLSearchParams(location.search).get("token");
    const response = await fetch(query ? `${path}?token=${encodeURIComponent(query)}` : path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
    const answer = await response.json();
    if (answer.error) say(answer.error, true);
    else if (answer.exploration) say(`recomputed in ${Math.round(performance.now() - started)} ms`, false);
    return answer.error ? null : answer;
  } catch {
    say("bptt explore does not answer any more. Start it again, then reload this page.", true);
    return null;
  }
}

function take(answer) {
  const { exploration: network } = answer;
  const t = Math.min(store.t, network.steps);
  const { selected } = store;
  store.page.times = answer.times;
  change({ network, t, selected: { ...selected, k: Math.min(selected.k, network.steps) } });
}

const errorNow = () => {
  const all = store.network.forward.errors;
  return byId("over").value === "t" ? all[store.t - 1] : all.reduce((sum, error) => sum + error, 0);
};

/** Begin the curve of errors again from what holds now. */
export function startCurve() {
  if (!isLive()) return;
  errors = [errorNow()];
  showCurve();
}

function showCurve() {
  const name = byId("over").value === "t" ? `E_{${store.t}}` : "Σ E";
  const last = errors.at(-1);
  byId("fall").replaceChildren(formula(`${name} = `), errors.length > 1 ? `${number(errors[0])} → ${number(last)}` : number(last), el("small", {}, errors.length > 1 ? ` after ${errors.length - 1} step${errors.length > 2 ? "s" : ""}` : ""));
  const most = Math.max(...errors, 1e-12);
  const points = errors.map((error, i) => `${4 + (192 * i) / Math.max(1, errors.length - 1)},${56 - (50 * error) / most}`);
  set(byId("curve").querySelector("polyline"), { points: points.join(" ") });
  const [x, y] = points.at(-1).split(",");
  set(byId("curve").querySelector("circle"), { cx: x, cy: y });
}

/** The address that opens this very state, copied where the browser lets us. */
async function share() {
  const state = { t: store.t, weight: store.weight, unfolded: store.unfolded, changes };
  history.replaceState(null, "", `#${await packed(state)}`);
  const field = byId("link");
  field.hidden = false;
  field.value = location.href;
  field.select();
  const copied = await navigator.clipboard.writeText(location.href).then(() => true, () => false);
  byId("status").textContent = copied ? "The link is copied." : "Copy the link from the field.";
}

/** Take up the state that the address holds. */
export async function openLink() {
  if (location.hash.length < 2) return;
  const state = await unpacked(location.hash.slice(1)).catch(() => null);
  if (typeof state !== "object" || state === null) {
    byId("status").textContent = "The link could not be read; the page shows the network as it started.";
    return;
  }
  if (isLive() && state.changes && Object.keys(state.changes).length) {
    changes = state.changes;
    if (!(await send("api/explore", { changes }))) changes = {};
  }
  const { steps, weights } = store.network;
  const t = Number.isInteger(state.t) ? Math.min(steps, Math.max(1, state.t)) : store.t;
  const weight = weights.some(({ name }) => name === state.weight) ? state.weight : store.weight;
  change({ t, weight, unfolded: state.unfolded === true });
  startCurve();
}
