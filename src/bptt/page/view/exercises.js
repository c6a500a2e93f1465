// Predict, then reveal: questions whose answers the page computes from what it shows.

import { gradients } from "../compute/network.js";
import { dot } from "../compute/vectors.js";
import { byId, el } from "./dom.js";
import { flowAt } from "./flows.js";
import { number, percent } from "./numbers.js";
import { numbers, page, partsOf, state, weightAt } from "./store.js";
import { tex } from "./tex.js";

const answered = new Set();
let shownForm = null; // the chapter and the network that questions were last offered for

/** Whether the numbers of a step hold an answer that is not yet given. */
export const isVeiled = (k) => ((page.lesson && state.chapter === "three") || byId("predict").open) && k === 2 && fits("delta") && !answered.has("delta");

/** Whether a question can be asked of the present network. */
const fits = (id) => !page.recorded && EXERCISES[id].fits();

/** Offer the questions that the chapter does not ask, of whatever network is shown. */
export function showExercises(ofChapter) {
  const offered = Object.keys(EXERCISES).filter((id) => !ofChapter.includes(id) && fits(id));
  const { network, T, t, chapter } = state;
  const form = [chapter, network.cell, network.layers, T, t, offered].join();
  const place = byId("predictions");
  if (form !== shownForm) {
    shownForm = form;
    answered.clear();
    byId("predict").hidden = !offered.length;
    place.replaceChildren();
  }
  if (byId("predict").open && !place.hasChildNodes()) place.append(...offered.map(showExercise));
}

/** A question with its answer's fields; what would tell the answer is shown after the first one is given. */
export function showExercise(id) {
  const { question, fields, check } = EXERCISES[id];
  const reply = el("p", { class: "reply", role: "status" });
  const inputs = fields();
  const form = el("form", {
    class: "exercise",
    submit(event) {
      event.preventDefault();
      const [right, say] = check(inputs.flatMap((input) => valueOf(input)));
      answered.add(id);
      reply.className = `reply ${right ? "right" : "wrong"}`;
      reply.textContent = `${right ? "Yes. " : "Not yet. "}${say}`;
    },
  });
  form.append(el("p", {}, el("strong", {}, "Predict: "), question()), el("p", { class: "answers" }, ...inputs, el("button", { type: "submit" }, "Check")), reply);
  return form;
}

function valueOf(input) {
  const field = input.matches("input, select") ? input : input.querySelector("input, select");
  return field ? [Number(field.value.trim().replace("−", "-").replace(",", ".") || NaN)] : [];
}

const entry = (name) => el("input", { type: "text", inputmode: "decimal", class: "field", "aria-label": name });

const tenth = () => flowAt("l0", state.t - 10) / flowAt("l0", state.t);

const FEW = 4; // entries of a vector that is computed by hand

const EXERCISES = {
  largest: {
    fits: () => state.t > 1,
    question: () => ["which step contributes most to the gradient of ", tex("W_s"), ", by its norm?"],
    fields: () => [el("label", {}, "step ", el("select", { "aria-label": "step" }, ...Array.from({ length: state.t }, (_, i) => el("option", { value: i + 1 }, String(i + 1)))))],
    check([k]) {
      const parts = [...partsOf(weightAt("recurrent", "l0").name).parts].sort((a, b) => a.k - b.k);
      const best = parts.reduce((a, b) => (b.norm > a.norm ? b : a));
      return [k === best.k, `The norms are ${parts.map((part) => `${number(part.norm, 3)} at step ${part.k}`).join(", ")}. Step 1 reads the state 0, so it contributes nothing.`];
    },
  },
  delta: {
    fits: () => state.network.cell === "elman" && state.network.leak === 1 && state.t > 2 && numbers.found.first <= 2 && numbers.found.layers[0].delta_ih[2].length <= FEW,
    question: () => "compute δ of step 2: the product, entry by entry, of ∂E/∂s and Φ′ there (click the state of step 2).",
    fields: () => Array.from({ length: partsOf(weightAt("recurrent", "l0").name).parts[0].delta.length }, (_, i) => entry(`δ of step 2, entry ${i + 1}`)),
    check(given) {
      const truth = [...numbers.found.layers[0].delta_ih[2]];
      const right = truth.every((value, i) => Math.abs(given[i] - value) <= 0.02 * Math.abs(value) + 0.0006);
      const wrong = truth.findIndex((value, i) => !(Math.abs(given[i] - value) <= 0.02 * Math.abs(value) + 0.0006));
      return [right, right ? `δ is (${truth.map((value) => number(value, 3)).join(", ")}).` : `Look at entry ${wrong + 1} again: multiply ∂E/∂s and Φ′ there.`];
    },
  },
  half: {
    fits: () => state.network.cell === "elman" && state.t > 10,
    question: () => "set ρ so that ten steps back half of the gradient is left (drag it under Change it), then check.",
    fields: () => [],
    check() {
      if (state.t < 11) return [false, "Choose t = 11 or more, so that there is a step ten steps back."];
      const left = tenth();
      return [left > 0.4 && left < 0.6, `Ten steps back ${percent(left)} is left. Each step multiplies it by about ${number(left ** 0.1, 3)}; half needs ${number(0.5 ** 0.1, 3)}.`];
    },
  },
  k2: {
    fits: () => state.t > 2,
    question: () => "what is the smallest k2 that leaves the gradient of the recurrent matrix within 5 % of the whole one?",
    fields: () => [el("label", {}, "k2 ", entry("k2"))],
    check([given]) {
      const found = smallest(0.05);
      return [given === found, given === found ? `With k2 = ${found} the error is ${percent(missing(found))}, with ${found - 1} it is ${percent(missing(found - 1))}.` : `With k2 = ${number(given)} the gradient is off by ${percent(missing(given))}.`];
    },
  },
};

/** How far the gradient of W_s with a truncation is from the whole one, as a part of its norm. */
export function missing(k2) {
  if (!(k2 >= 1)) return 1;
  const name = weightAt("recurrent", "l0").name;
  const [whole, cut] = [Infinity, k2].map((steps) => gradients(state.network, numbers.network, numbers.pass, state.t, steps)[name].flatMap((row) => [...row]));
  const gap = whole.map((value, i) => value - cut[i]);
  return Math.sqrt(dot(gap, gap) / (dot(whole, whole) || 1));
}

function smallest(tolerance) {
  let k2 = state.t;
  while (k2 > 1 && missing(k2 - 1) <= tolerance) k2--;
  return k2;
}
