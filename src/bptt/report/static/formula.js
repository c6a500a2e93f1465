// Formulas as text with subscripts, in the lesson's letters.

import { el } from "./dom.js";

const MINUS = "−";

/** A formula from a short notation: letters italic, _x or _{k-1} a subscript, ^T a superscript. */
export function formula(text, tag = "span") {
  const found = el(tag, { class: "formula" });
  for (const [, mark, braced, single, letter, other] of text.matchAll(
    /([_^])(?:\{([^}]*)\}|(.))|(\p{L}+)|([^_^\p{L}]+)/gu,
  )) {
    if (mark) found.append(el(mark === "_" ? "sub" : "sup", {}, (braced ?? single).replace("-", MINUS)));
    else if (letter) found.append(letter.length > 1 || letter === "Σ" ? upright(letter) : el("i", {}, letter));
    else found.append(other.replace(/(^| )-/g, `$1${MINUS}`)); // a hyphen within a word stays one
  }
  return found;
}

/** A derivative as a fraction. */
export function fraction(above, below) {
  return el("span", { class: "fraction" }, formula(above), formula(below));
}

const upright = (word) => el("span", { class: "upright" }, word);

/** A weight's letters: "W_s l1" is W_s of layer l1. */
export function letters(label) {
  const [name, layer] = label.split(" ");
  return layer ? `${name}^{${layer}}` : name;
}

/** The equation of a step's error, by its name. */
export const SUMS = {
  squared_error: (t) => `E_{${t}} = Σ (d_{${t}} - y_{${t}})^2`,
  absolute_error: (t) => `E_{${t}} = Σ |d_{${t}} - y_{${t}}|`,
  cross_entropy: (t, network) => `E_{${t}} = - Σ d_{${t}} log ${network.softmax ? `y_{${t}}` : `softmax(y_{${t}})`}`,
};

/** The equation of a step's state. */
export function stateEquation(network, k, layer) {
  const of = network.layers.length > 1 ? `^{${layer}}` : "";
  const below = layer === network.layers[0] ? `x_{${k}}` : `s^{${network.layers[network.layers.indexOf(layer) - 1]}}_{${k}}`;
  const before = k === "t" ? "t-1" : String(k - 1);
  const s = `s${of}_{${k}}`;
  const inner = `${below} W_x${of} + s${of}_{${before}} W_s${of}${network.bias ? " + b" : ""}`;
  if (network.cell === "gru") return `${s} = (1 - z_{${k}}) n_{${k}} + z_{${k}} s${of}_{${before}}`;
  if (network.cell === "lstm") return `${s} = o_{${k}} tanh(c_{${k}}),  c_{${k}} = f_{${k}} c_{${before}} + i_{${k}} g_{${k}}`;
  const phi = network.activation === "identity" ? "" : network.activation;
  if (network.leak === 1) return `${s} = ${phi}(${inner})`;
  const rest = Number((1 - network.leak).toPrecision(6));
  return `${s} = ${rest} s${of}_{${before}} + ${network.leak} ${phi}(${inner})`;
}

/** The equation of a step's output. */
export function outputEquation(network, k) {
  const top = network.layers.length > 1 ? `^{${network.layers.at(-1)}}` : "";
  const sum = `s${top}_{${k}} W_y${network.weights.some((w) => w.role === "readout_bias") ? " + b_y" : ""}`;
  return `y_{${k}} = ${network.softmax ? `softmax(${sum})` : sum}`;
}
