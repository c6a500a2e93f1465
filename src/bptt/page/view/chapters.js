// The lesson's chapters: a text, a network to try it on, and what to press first.

import { byId, el } from "./dom.js";
import { setDescent } from "./descent.js";
import { showExercise } from "./exercises.js";
import { edit, page, state } from "./store.js";
import { randomNetwork, randomRows } from "./random.js";
import { tex } from "./tex.js";

const LENGTH = 60; // that a chapter's sequence can be lengthened to

/** A state of the page about one network. */
export function stateAbout(network, x, d, further = {}) {
  const T = further.T ?? x.length;
  const t = further.t ?? T;
  const recurrent = network.weights.find(({ role }) => role === "recurrent");
  return { network, x, d, T, t, grows: "end", k2: null, compare: null, text: null, quantity: "percent", log: false, weight: recurrent.name, selected: { kind: "node s", layer: "l0", k: t }, beat: null, unfolded: true, ...further };
}

const sequence = (seed) => [randomRows(LENGTH, 2, seed), randomRows(LENGTH, 1, seed + 1)];

const small = (choices) => randomNetwork({ cell: "elman", inputs: 2, units: 4, outputs: 1, seed: 5, ...choices });

const gated = (cell) => {
  const network = small({ cell, seed: 9, radius: 0.7, activation: "tanh" });
  if (cell === "elman") return network;
  const opened = (name, size, gate) => ({ name, latex: "b_x", role: "input_bias", layer: "l0", values: Array.from({ length: size * 4 }, (_, i) => (Math.floor(i / 4) === gate ? 2.5 : 0)) });
  const bias = opened("recurrent.bias_ih_l0", cell === "gru" ? 3 : 4, 1); // z of a GRU, f of an LSTM: nearly open
  return { ...network, weights: [...network.weights.slice(0, 2), bias, ...network.weights.slice(2)] };
};

export const CHAPTERS = {
  three: {
    title: "Three steps",
    text: ["To learn from the error of step 3, a network must know how every weight took part in it: also two steps ago, through the states in between. Backpropagation through time follows the error back along the orange paths and adds up what it finds.", "Press Step through the chain rule below the diagram. Then drag any number and watch the paths change."],
    exercises: ["largest", "delta"],
  },
  vanish: {
    title: "Vanish",
    text: ["Every step back multiplies the gradient by Φ′ and $W_s$. Where that makes it smaller, it shrinks step by step, until nothing is left to learn from: it vanishes, and the dashed paths have died.", "Drag ρ($W_s$), the spectral radius, and watch where the paths die."],
    make: () => stateAbout(small({ radius: 0.45 }), ...sequence(21), { T: 16, log: false }),
    exercises: ["half"],
  },
  explode: {
    title: "Explode, then clip",
    text: ["With ρ($W_s$) above 1 and no Φ to hold it, the gradient grows on its way back: far steps drown the near ones, and a step of gradient descent flies off.", "Press Run: the error explodes. Undo it, clip the gradient's norm at 0.5, and run again: the direction stays, its length is bounded."],
    make: () => stateAbout(small({ radius: 1.25, activation: "identity" }), ...sequence(31), { T: 14, quantity: "norm" }),
    descent: [0.1],
    exercises: [],
  },
  leak: {
    title: "A leak saves it",
    text: ["A leaky unit keeps a part 1 − α of its old state. That part passes on beside $W_s$ and Φ: on the second path the gradient comes back almost as it was.", "Set the leak α to 1 and the second path is gone; at 0.1 it reaches the first step."],
    make: () => stateAbout(small({ radius: 0.45, leak: 0.1 }), ...sequence(21), { T: 16 }),
    exercises: [],
  },
  lstm: {
    title: "An LSTM saves it",
    text: ["An LSTM has a second state, the cell: $c_k = f_k \\odot c_{k-1} + i_k \\odot g_k$. Where the forget gate $f_k$ is near 1, the gradient runs back along c as on a lane of its own, without $W_s$. A GRU does the same with its gate z.", "Compare the three curves in How far back: an Elman network, a GRU and an LSTM on the same sequence. Choose $b_x$ under Change it, lower the columns of f, and see the lane close."],
    make: () => stateAbout(gated("lstm"), ...sequence(41), { T: 14, compare: ["elman", "gru", "lstm"].map((cell) => ({ name: { elman: "Elman", gru: "GRU", lstm: "LSTM" }[cell], network: gated(cell) })) }),
    exercises: [],
  },
  truncation: {
    title: "Truncation",
    text: ["Long sequences are cut: the error goes back k2 steps and no further. It saves memory and time, and leaves out what the earlier steps would have contributed.", "Change k2 and read how much of the gradient is left."],
    make: () => stateAbout(small({ radius: 0.85 }), ...sequence(51), { T: 14, k2: 4 }),
    exercises: ["k2"],
  },
  own: {
    title: "Your own",
    text: ["A new network with random weights reads your numbers or your sentence. Each step's error goes back to the steps that it depends on; in a sentence every character glows by its share.", "Choose the sum of all errors, press Run, and watch which earlier steps begin to matter."],
    exercises: [],
  },
};

/** Text with formulas between dollar signs. */
const mixed = (text) => text.split("$").map((part, i) => (i % 2 ? tex(part) : part));

export function setUpChapters() {
  const nav = byId("chapters");
  nav.hidden = byId("chapter").hidden = !page.lesson;
  if (!page.lesson) return;
  nav.replaceChildren(...Object.entries(CHAPTERS).filter(([id]) => id !== "own").map(([id, { title }], i) => el("a", { href: `#${id}`, "data-chapter": id }, `${i + 1} ${title}`)));
}

/** Open a chapter by its id; whether there is one. */
export function openChapter(id) {
  if (!Object.hasOwn(CHAPTERS, id) || !page.lesson || id === "own") return false;
  const chapter = CHAPTERS[id];
  setDescent(...(chapter.descent ?? [0.1]));
  edit({ ...(chapter.make?.() ?? page.first), chapter: id });
  return true;
}

export function showChapter() {
  if (!page.lesson) return;
  const { chapter } = state;
  for (const link of byId("chapters").children) {
    if (link.dataset.chapter === chapter) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const { title, text, exercises } = CHAPTERS[chapter];
  const [why, ...does] = text;
  byId("chapter").replaceChildren(el("h2", {}, title), el("p", {}, ...mixed(why)), ...does.map((line) => el("p", { class: "try" }, ...mixed(line))), ...exercises.map(showExercise));
}
