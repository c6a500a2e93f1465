// The page: its data is read, its parts are drawn, and every change is passed on to the parts it concerns.

import { setUpBeats, showBeat } from "./beats.js";
import { CHAPTERS, openChapter, setUpChapters, showChapter, stateAbout } from "./chapters.js";
import { setUpChange, showChange } from "./change.js";
import { onTabKey, showDerivation, showTabs } from "./derivation.js";
import { pause, setUpDescent, startCurve } from "./descent.js";
import { showDetails } from "./details.js";
import { drawDiagram, fitDiagram } from "./diagram.js";
import { place } from "./drawing.js";
import { byId, el, set, write } from "./dom.js";
import { setUpExports } from "./exports.js";
import { missing, showExercises } from "./exercises.js";
import { showGlow, textOf } from "./glow.js";
import { play, rest, unfold } from "./motion.js";
import { number, percent } from "./numbers.js";
import { setUpOwn } from "./own.js";
import { showDiagnosis, showReach } from "./reach.js";
import { onDiagramKey } from "./selecting.js";
import { openShared } from "./shared.js";
import { setUpResults } from "../results/results.js";
import { before, formulas, look, numbers, onChange, page, present, start, state, stepName } from "./store.js";
import { tex } from "./tex.js";

function showHead() {
  byId("equations").replaceChildren(...formulas().equations.map((line) => tex(present(line), { l: state.network.layers.length > 1 ? "ℓ" : 1 }, "p")));
}

function showStep() {
  const { t, T } = state;
  set(byId("t"), { max: T, "aria-valuetext": stepName(t) });
  byId("t").value = t;
  byId("t-value").replaceChildren(tex(`t = ${t}`), el("small", {}, ` of ${T}${page.times ? ` · ${stepName(t).replace(/^.*\(|\)$/g, "")}` : ""}`));
  const was = before?.pass.errors[t - 1];
  const now = numbers.pass.errors[t - 1];
  byId("error-value").replaceChildren(tex(`E_{${t}} = `), number(now), was !== undefined && was !== now ? el("small", { class: "was" }, ` was ${number(was)}`) : "");
}

function showQuantity() {
  const options = [["percent", `percent of step ${state.t}`], ["norm", "norm of the gradient"], ...state.network.weights.map(({ name, latex }) => [name, `contribution to ${latex.replace(/[{}]/g, "")}`])];
  write(byId("quantity"), options.join(), () => options.map(([value, text]) => el("option", { value }, text)));
  if (!options.some(([value]) => value === state.quantity)) look({ quantity: "percent" });
  byId("quantity").value = state.quantity;
  byId("log").checked = state.log;
}

function showUnfolded() {
  byId("unfold").textContent = state.unfolded ? "Fold" : "Unfold in time";
  byId("play").disabled = !state.unfolded;
  byId("diagram").classList.toggle("folded", !state.unfolded);
}

function showTruncation() {
  const { k2, t } = state;
  const cuts = !page.recorded && k2 !== null && k2 < t;
  byId("k2-says").textContent = cuts && state.network.layers.length === 1 ? `k2 = ${k2}: the gradient of the recurrent matrix is off by ${percent(missing(k2))} of its norm.` : "";
}

const showPredictions = () => showExercises(page.lesson ? CHAPTERS[state.chapter].exercises : []);

function onEveryChange(what) {
  const fresh = what.has("numbers");
  const moved = fresh || what.has("t");
  const retold = what.has("network") || what.has("chapter");
  if (retold) {
    showHead();
    showTabs();
  }
  if (what.has("chapter")) showChapter();
  if (moved || what.has("chapter")) showPredictions();
  if (what.has("weight")) showTabs();
  if (retold || moved || what.has("quantity")) showQuantity();
  if (moved) {
    rest();
    showStep();
    showGlow();
  }
  if (moved || what.has("selected") || what.has("quantity") || what.has("log") || what.has("compare")) {
    drawDiagram();
    showDetails();
  }
  if (what.has("unfolded")) {
    showUnfolded();
    unfold();
  } else if (moved && !state.unfolded) place(0);
  if (what.has("beat") || (what.has("weight") && !moved)) showBeat();
  if (moved) showTruncation();
  if (what.has("chapter") || what.has("text")) pause();
  const far = ["t", "numbers", "weight", "selected", "compare", "quantity"].filter((name) => what.has(name));
  if (!far.length) return;
  far.forEach((name) => waiting.add(name));
  clearTimeout(settling);
  if (fresh || !what.has("t")) showRest();
  else settling = setTimeout(showRest, SETTLED);
}

const SETTLED = 90; // milliseconds: while the slider moves, only the diagram and the panel go along at once
const waiting = new Set();
let settling = 0;

/** What stands at some distance from the diagram. */
function showRest() {
  const what = new Set(waiting);
  waiting.clear();
  const moved = what.has("t") || what.has("numbers");
  showDerivation();
  if (moved) {
    showChange();
    showBeat();
    startCurve();
  }
  if (moved || what.has("compare") || what.has("quantity")) showReach(what.has("numbers"));
}

/** Choose t; the selection goes along. */
function chooseStep(t) {
  const k = Math.min(state.T, Math.max(1, state.selected.k + t - state.t));
  look({ t, selected: { ...state.selected, k } });
}

function firstState(document) {
  const { network, x, d, steps: T, t, grows } = document;
  const layer = network.layers.at(-1);
  const recurrent = network.weights.find((weight) => weight.role === "recurrent" && weight.layer === layer);
  return { ...stateAbout(network, x, d, { T, t, text: textOf(document) }), grows, weight: recurrent.name, selected: { kind: "node s", layer, k: t }, chapter: "three" };
}

function setUp() {
  const document_ = JSON.parse(byId("data").textContent);
  if (document_.labels.length) document_.x = document_.x.map((token) => document_.labels.map((_, i) => Number(i === token)));
  document_.first = firstState(document_);
  start(document_, document_.first);
  byId("t").addEventListener("input", (event) => chooseStep(event.target.valueAsNumber));
  byId("unfold").addEventListener("click", () => look({ unfolded: !state.unfolded }));
  byId("play").addEventListener("click", play);
  byId("predict").addEventListener("toggle", () => {
    showPredictions();
    showDetails();
  });
  byId("quantity").addEventListener("change", (event) => look({ quantity: event.target.value }));
  byId("log").addEventListener("change", (event) => look({ log: event.target.checked }));
  byId("diagram").addEventListener("click", () => state.unfolded || look({ unfolded: true }));
  byId("diagram").addEventListener("keydown", onDiagramKey);
  byId("tabs").addEventListener("keydown", onTabKey);
  setUpChapters();
  setUpBeats();
  setUpOwn();
  setUpExports();
  fitDiagram();
  setUpChange();
  setUpDescent();
  onChange(onEveryChange);
  showHead();
  showChapter();
  showTabs();
  showQuantity();
  showStep();
  showUnfolded();
  showDetails();
  showDerivation();
  showGlow();
  showPredictions();
  showTruncation();
  showBeat();
  showDiagnosis();
  new ResizeObserver(() => {
    fitDiagram();
    showBeat();
    showReach(true);
  }).observe(byId("diagram"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => showReach(true));
  setUpResults();
  addEventListener("hashchange", openAddress);
  if (location.hash) openAddress();
}

/** Take up what the address names: a chapter, a state, or, as on the way back to the start, nothing. */
async function openAddress() {
  const hash = location.hash.slice(1);
  byId("copied-says").textContent = "";
  if (openChapter(hash || "three") || !hash || byId(hash) || (await openShared(hash))) return;
  byId("copied-says").textContent = "The link could not be read; the page shows the network as it was.";
}

setUp();

