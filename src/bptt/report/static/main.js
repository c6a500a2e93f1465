// The page: its data is read, its parts are drawn, and every change is passed on to the parts it concerns.

import { byId, el, set } from "./dom.js";
import { redraw } from "./charts.js";
import { markTerm, onTabKey, showDerivation, showTabs } from "./derivation.js";
import { showDetails } from "./details.js";
import { drawDiagram, legend, onDiagramKey, place, refresh } from "./diagram.js";
import { setUpDynamics } from "./dynamics.js";
import { number } from "./format.js";
import { formula, outputEquation, stateEquation, SUMS } from "./formula.js";
import { openLink, setUpLive, showControls, startCurve } from "./live.js";
import { play, rest, unfold } from "./motion.js";
import { setUpReach, showMapChoice } from "./reach.js";
import { setUpRun } from "./run.js";
import { change, onChange, store, stepName } from "./store.js";

function showHead() {
  const { network } = store;
  const layer = network.layers.at(-1);
  const lines = [stateEquation(network, "t", layer), outputEquation(network, "t"), SUMS[network.loss]?.("t", network)];
  byId("equations").replaceChildren(...lines.filter(Boolean).map((line) => formula(line, "p")));
}

function showStep() {
  const { network, t } = store;
  set(byId("t"), { max: network.steps, "aria-valuetext": stepName(t) });
  byId("t").value = t;
  byId("t-value").replaceChildren(formula(`t = ${t}`), el("small", {}, ` of ${network.steps}${store.page.times ? ` · ${store.page.times[t - 1]}` : ""}`));
  byId("error-value").replaceChildren(formula(`E_{${t}} = `), number(network.forward.errors[t - 1]));
}

function showUnfolded() {
  const { unfolded } = store;
  set(byId("unfold"), { "aria-pressed": String(unfolded) });
  byId("unfold").textContent = unfolded ? "Fold" : "Unfold in time";
  byId("play").disabled = !unfolded;
  byId("diagram").classList.toggle("folded", !unfolded);
}

function onEveryChange(what) {
  const data = what.has("data");
  if (data) {
    showHead();
    showTabs();
    showMapChoice();
    showControls();
    redraw(["activations"]);
  }
  if (data || what.has("t")) {
    rest();
    showStep();
    drawDiagram();
    if (!store.unfolded) place(0);
  }
  if (what.has("unfolded")) {
    showUnfolded();
    unfold();
  }
  if (what.has("weight")) showTabs();
  if (what.has("selected") && !data && !what.has("t")) refresh();
  showDetails();
  if (data || what.has("weight")) showRest();
  else if (what.has("t")) settle();
  else markTerm();
}

/** What follows t at some distance: while the slider moves, only the network and the panel go along at once. */
function showRest() {
  clearTimeout(settling);
  showDerivation();
  markTerm();
  redraw(["map", "lags"]);
}

let settling = 0;
const SETTLED = 120; // milliseconds without a further change

function settle() {
  clearTimeout(settling);
  settling = setTimeout(() => {
    showRest();
    startCurve();
  }, SETTLED);
}

/** Choose t; the selection keeps its distance to it, so that the panel goes along. */
function chooseStep(t) {
  const { selected, network } = store;
  const k = Math.min(network.steps, Math.max(1, selected.k + t - store.t));
  change({ t, selected: { ...selected, k } });
}

function setUp() {
  const page = JSON.parse(byId("data").textContent);
  const network = page.exploration;
  const layer = network.layers.at(-1);
  const recurrent = network.weights.find((weight) => weight.role === "recurrent" && weight.layer === layer);
  Object.assign(store, { page, network, t: page.t, weight: recurrent.name, selected: { kind: "s", layer, k: page.t } });
  showHead();
  showStep();
  showUnfolded();
  drawDiagram();
  byId("legend").replaceChildren(...legend());
  showTabs();
  showDerivation();
  showDetails();
  markTerm();
  onChange(onEveryChange);
  byId("t").addEventListener("input", (event) => chooseStep(event.target.valueAsNumber));
  byId("unfold").addEventListener("click", () => change({ unfolded: !store.unfolded }));
  byId("play").addEventListener("click", play);
  byId("diagram").addEventListener("click", () => store.unfolded || change({ unfolded: true }));
  byId("diagram").addEventListener("keydown", onDiagramKey);
  byId("tabs").addEventListener("keydown", onTabKey);
  new ResizeObserver(() => drawDiagram()).observe(byId("diagram"));
  setUpReach();
  showMapChoice();
  setUpDynamics();
  setUpRun();
  setUpLive();
  openLink();
}

setUp();
