// A reader's own numbers or sentence, read by a new network with random weights.

import { byId } from "./dom.js";
import { stateAbout } from "./chapters.js";
import { randomNetwork } from "./random.js";
import { edit, page } from "./store.js";

export const MOST_STEPS = 500;
const MOST_WIDTH = 64; // of a row of numbers, or of an alphabet

export function setUpOwn() {
  byId("own").hidden = !page.lesson;
  byId("own").addEventListener("submit", (event) => {
    event.preventDefault();
    const say = byId("own-says");
    try {
      edit({ ...about(byId("own-text").value, byId("own-cell").value), chapter: "own" });
      say.textContent = "";
      say.className = "";
      document.querySelector(".desk").scrollIntoView();
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      say.textContent = error.message;
      say.className = "refused";
    }
  });
}

/** The state about a text: rows of numbers, or a sentence, each character of which is predicted from those before. */
export function about(text, cell) {
  const lines = text.split("\n").filter((line) => line.trim());
  const rows = lines.map((line) => line.replace(/[\s,;]+$/, "").trim().split(/[\s,;]+/).map((cell) => (cell ? Number(cell) : NaN)));
  return rows.flat().every(Number.isFinite) && text.trim() ? ofNumbers(rows, cell) : ofSentence(text.replace(/\s+/g, " ").trim(), cell);
}

function ofNumbers(given, cell) {
  const rows = given.length === 1 ? given[0].map((value) => [value]) : given;
  const width = rows[0].length;
  const odd = rows.findIndex((row) => row.length !== width);
  if (odd > 0) throw new RangeError(`Line ${odd + 1} has ${rows[odd].length} numbers, the first one ${width}.`);
  if (rows.length < 3 || rows.length > MOST_STEPS || width > MOST_WIDTH) throw new RangeError(`Give 3 to ${MOST_STEPS} lines of at most ${MOST_WIDTH} numbers.`);
  const x = width === 1 ? rows.slice(0, -1) : rows.map((row) => row.slice(0, -1));
  const d = width === 1 ? rows.slice(1) : rows.map((row) => row.slice(-1));
  return stateAbout(randomNetwork({ cell, inputs: x[0].length, units: 6, outputs: 1, seed: 3, radius: 0.9 }), x, d);
}

function ofSentence(sentence, cell) {
  const letters = [...sentence];
  const alphabet = [...new Set(letters)];
  if (letters.length < 3 || letters.length > MOST_STEPS || alphabet.length > MOST_WIDTH) throw new RangeError(`Give a sentence of 3 to ${MOST_STEPS} characters, of at most ${MOST_WIDTH} different ones.`);
  if (alphabet.length < 2) throw new RangeError("Give a sentence of at least two different characters.");
  const index = letters.map((letter) => alphabet.indexOf(letter));
  const x = index.slice(0, -1).map((i) => alphabet.map((_, j) => Number(i === j)));
  const network = randomNetwork({ cell, inputs: alphabet.length, units: 12, outputs: alphabet.length, seed: 3, radius: 0.9, loss: "cross_entropy" });
  return stateAbout(network, x, index.slice(1), { text: letters });
}
