// What moves: the unfolding, and the values going forward and the gradient coming back.

import { calm, set } from "./dom.js";
import { diagram, drawDiagram, drawn, place } from "./diagram.js";
import { store } from "./store.js";

const UNFOLDING = 900; // milliseconds
const STEP = 260; // of a wave, for each step of a short sequence
const WAVE = 1500; // the longest that a wave takes

let running = 0; // the animation that may go on; a newer one ends it

/** Call draw(part) from 0 to 1 over so many milliseconds; resolves to whether it finished. */
function animate(milliseconds, draw, mine) {
  return new Promise((resolve) => {
    const start = performance.now();
    const frame = (now) => {
      if (mine !== running) return resolve(false);
      const part = Math.min(1, Math.max(0, now - start) / milliseconds);
      draw(part);
      if (part < 1) requestAnimationFrame(frame);
      else resolve(true);
    };
    requestAnimationFrame(frame);
  });
}

const eased = (part) => (part < 0.5 ? 4 * part ** 3 : 1 - (2 - 2 * part) ** 3 / 2);

/** Unfold or fold, then let values and gradient pass once. */
export async function unfold() {
  const mine = ++running;
  reveal(Infinity, Infinity);
  drawDiagram();
  const from = diagram().u;
  const to = store.unfolded ? 1 : 0;
  if (calm()) return place(to);
  const ended = await animate(UNFOLDING, (part) => place(from + (to - from) * eased(part)), mine);
  if (ended && to === 1) await play();
}

/** Values flow to the right, step by step; then the gradient back to the left along the paths. */
export async function play() {
  const mine = ++running;
  if (calm() || !store.unfolded) return;
  const steps = store.t - drawn().first + 1;
  const length = Math.min(WAVE, Math.max(700, STEP * steps));
  const there = await animate(length, (part) => reveal(part * (steps + 1), 0), mine);
  if (there) await animate(1.3 * length, (part) => reveal(Infinity, part * (steps + 1.5)), mine);
}

/** End whatever moves and show all. */
export function rest() {
  running++;
  reveal(Infinity, Infinity);
}

const part = (value) => Math.min(1, Math.max(0, value));

/** Show forward edges up to `forward` steps from the first one, bands up to `back` steps before t. */
function reveal(forward, back) {
  const { columns, links } = diagram();
  const now = store.t - drawn().first;
  columns.forEach(({ parts }, i) => {
    const come = part(forward - i);
    const gone = part(back - 1 - (now - i));
    for (const each of Object.values(parts)) {
      if (each.dots && each.kind !== "x") each.group.style.opacity = come === 1 ? "" : 0.25 + 0.75 * come;
      if (!each.forward) continue;
      drawUpTo(each.forward, come);
      drawUpTo(each.band, each.kind === "in" ? gone : part(back - (now - i)));
    }
  });
  links.forEach((row, i) => {
    for (const each of row) {
      drawUpTo(each.forward, part(forward - i + 0.5));
      drawUpTo(each.band, part(back - 1 - (now - i)));
      each.size.style.opacity = part(back - 1 - (now - i)) === 1 ? "" : 0;
    }
  });
  pulse(forward, back, now);
}

/** Draw a path up to a part of its length. */
function drawUpTo(path, upTo) {
  path.style.strokeDasharray = upTo === 1 ? "" : "1 1";
  path.style.strokeDashoffset = upTo === 1 ? "" : String(1 - upTo);
}

/** The point that travels: with the values, then with the error. */
function pulse(forward, back, now) {
  const { root, at, layers } = diagram();
  const point = root.querySelector(".pulse");
  const going = forward !== Infinity;
  const moving = going || (back !== Infinity && back > 0);
  if (!moving) return set(point, { cx: -20 });
  const place = going ? forward - 1 : now - (back - 1);
  const y = at.rows[layers[0]] + (going ? -9 : 8);
  const inside = place >= 0 && place <= now;
  return set(point, { cx: inside ? at.column(place) : -20, cy: y, class: going ? "pulse going" : "pulse coming" });
}
