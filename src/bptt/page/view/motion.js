// What moves: the unfolding, then the values going forward and the gradient coming back, step by step.

import { calm, set } from "./dom.js";
import { built, place } from "./drawing.js";
import { state } from "./store.js";

const UNFOLDING = 900; // milliseconds
const STEP = 300; // of a wave, for each step
const WAVE = 2600; // the longest that a wave takes

let moving = 0; // the animation that may go on; a newer one ends it
let isPartial = false; // whether a wave has hidden parts of the diagram

/** Call draw(part) from 0 to 1 over so many milliseconds; resolves to whether it finished. */
function animate(milliseconds, draw, mine) {
  return new Promise((resolve) => {
    const start = performance.now();
    const frame = (now) => {
      if (mine !== moving) return resolve(false);
      const part = Math.min(1, Math.max(0, now - start) / milliseconds);
      draw(part);
      if (part < 1) requestAnimationFrame(frame);
      else resolve(true);
    };
    requestAnimationFrame(frame);
  });
}

const eased = (part) => (part < 0.5 ? 4 * part ** 3 : 1 - (2 - 2 * part) ** 3 / 2);

/** Unfold or fold. */
export async function unfold() {
  const mine = ++moving;
  reveal(Infinity, Infinity);
  const from = built.u;
  const to = state.unfolded ? 1 : 0;
  if (calm()) return place(to);
  await animate(UNFOLDING, (part) => place(from + (to - from) * eased(part)), mine);
}

/** Values flow to the right, step by step; then the gradient back to the left. */
export async function play() {
  const mine = ++moving;
  if (calm()) return;
  const columns = built.steps.indexOf(state.t) + 1;
  const length = Math.min(WAVE, STEP * (columns + 1));
  const there = await animate(length, (part) => reveal(part * (columns + 1), 0), mine);
  if (there && (await animate(1.4 * length, (part) => reveal(Infinity, part * (columns + 2)), mine))) reveal(Infinity, Infinity);
}

/** End whatever moves and show all. */
export function rest() {
  moving++;
  reveal(Infinity, Infinity);
}

const within = (value) => Math.min(1, Math.max(0, value));

/** Show the forward pass up to `forward` columns from the first, the backward pass up to `back` columns before t. */
function reveal(forward, back) {
  const wasPartial = isPartial;
  isPartial = Math.min(forward, back) < Infinity;
  if (!wasPartial && !isPartial) return;
  const { parts, steps, root, at } = built;
  const now = steps.indexOf(state.t);
  for (const { isEdge, kind, i, forward: path, band, size, group } of parts.values()) {
    const goes = within(forward - i + (kind === "s" || kind === "lane" ? 0.5 : 0));
    const comes = within(back - (now - i) - { E: 0, y: 0.5, in: 1 }[kind] || back - (now - i) - 1);
    if (!isEdge) {
      group.style.opacity = goes === 1 ? "" : 0.2 + 0.8 * goes;
      if (size) size.style.opacity = goes === 1 ? "" : 0;
      continue;
    }
    drawUpTo(path, goes);
    drawUpTo(band, comes);
    size.style.opacity = comes === 1 ? "" : 0;
  }
  const going = forward !== Infinity;
  const column = going ? forward - 1 : now - (back - 1);
  const inside = (going || back !== Infinity) && column >= 0 && column <= now;
  set(root.querySelector(".pulse"), { cx: inside ? at.column(column) : -20, cy: at.linkY(state.network.layers.at(-1)) + (going ? -8 : 8), class: going ? "pulse going" : "pulse coming" });
}

/** Draw a path up to a part of its length. */
function drawUpTo(path, upTo) {
  path.style.strokeDasharray = upTo === 1 ? "" : "1 1";
  path.style.strokeDashoffset = upTo === 1 ? "" : String(1 - upTo);
  path.style.markerEnd = upTo === 1 ? "" : "none"; // an arrow has its head once it is there
}
