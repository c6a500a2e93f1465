// A text whose characters glow by their share of the gradient that E_t sends back.

import { norm } from "../compute/vectors.js";
import { byId, el } from "./dom.js";
import { flowAt } from "./flows.js";
import { percent } from "./numbers.js";
import { look, numbers, page, state } from "./store.js";

/** The characters of a language model's inputs, and the last target. */
export function textOf({ labels, x, d }) {
  return labels.length ? [...x.map((row) => labels[row.indexOf(1)]), labels[d.at(-1)]] : null;
}

/** ‖∂E_t/∂x_k‖ of each step, or ‖∂E_t/∂s_k‖ of a network that was recorded. */
function sizes() {
  const at = (k) => (page.recorded ? flowAt("l0", k) : numbers.found.layers[0].dx[k] && norm(numbers.found.layers[0].dx[k]));
  return Array.from({ length: state.T }, (_, i) => at(i + 1) || 0);
}

export function showGlow() {
  const { text, t, T, grows, x } = state;
  byId("glow").hidden = text === null;
  if (text === null) return;
  const start = grows === "end" ? 0 : x.length - T;
  const found = sizes();
  const sum = found.reduce((a, b) => a + b, 0) || 1;
  const most = Math.max(...found) || 1;
  const letter = (i) => ({ " ": "\u00a0", "\n": "↵", "\t": "⇥" })[text[start + i]] ?? text[start + i];
  const named = (i) => ({ " ": "space", "\n": "line break", "\t": "tab" })[text[start + i]] ?? text[start + i];
  const character = (size, i) => {
    const share = percent(size / sum);
    return el("button", { type: "button", class: i + 1 === t ? "now" : null, style: `--glow:${(size / most).toFixed(3)}`, title: `step ${i + 1}: ${share} of what E at step ${t} sends back`, "aria-label": `${named(i)}, step ${i + 1}, share ${share}`, click: () => look({ t: i + 1, selected: { kind: "node s", layer: "l0", k: i + 1 } }) }, letter(i));
  };
  const letters = found.map(character);
  byId("glow").replaceChildren(...letters, el("span", { class: "say" }, ` → ${letter(t)}`));
  byId("glow").scrollTop = letters[t - 1].offsetTop + letters[t - 1].offsetHeight - byId("glow").clientHeight;
}
