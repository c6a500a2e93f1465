// A link to what the page shows: the state as the end of an address, and taken up from there where it fits.

import { networkOf } from "../compute/network.js";
import { CHAPTERS } from "./chapters.js";
import { EDGE_OF } from "./flows.js";
import { packed, unpacked } from "./link.js";
import { MOST_STEPS } from "./own.js";
import { edit, page, state } from "./store.js";

const SHARED = ["T", "t", "k2", "weight", "selected", "quantity", "log", "unfolded", "chapter", "text", "network", "x", "d", "grows"];
const MOST_UNITS = 64;

/** The end of an address that leads here: what is not as the page began. */
export const sharedState = () => packed(Object.fromEntries(SHARED.filter((name) => JSON.stringify(state[name]) !== JSON.stringify(page.first[name])).map((name) => [name, state[name]])));

/** Take up the state that an address holds; whether it could be read. */
export async function openShared(text) {
  const found = await unpacked(text).catch(() => null);
  if (page.recorded || typeof found !== "object" || found === null || !Object.keys(found).every((name) => SHARED.includes(name))) return false;
  const next = { ...page.first, ...found };
  if (!isUsable(next)) return false;
  edit({ ...next, compare: CHAPTERS[next.chapter].make?.().compare ?? null, beat: null });
  return true;
}

const isWhole = (value, least, most) => Number.isInteger(value) && value >= least && value <= most;

const isVector = (row, size) => Array.isArray(row) && row.length === size && row.every(Number.isFinite);

const isMatrix = (rows, height, width) => Array.isArray(rows) && rows.length === height && rows.every((row) => isVector(row, width));

/** Whether a state from elsewhere, from another version or damaged, has the form of the page's own. */
function isUsable(next) {
  const { network, x, d, T, t, k2, weight, selected, quantity, chapter, text, grows } = next;
  try {
    const { layers, weights } = network;
    return (
      isNetwork(network, x, d) &&
      isWhole(T, 1, x.length) && isWhole(t, 1, T) && (k2 === null || isWhole(k2, 1, Infinity)) &&
      weights.some(({ name }) => name === weight) && typeof quantity === "string" &&
      isWhole(selected.k, 1, T) && isPart(selected, layers) &&
      Object.hasOwn(CHAPTERS, chapter) && ["start", "end"].includes(grows) &&
      (text === null || (Array.isArray(text) && text.length > T && text.every((letter) => typeof letter === "string")))
    );
  } catch {
    return false; // something is not there at all
  }
}

/** Whether the diagram has such a part: one of a layer, or one of every step. */
const isPart = ({ kind, layer }, layers) => (layers.includes(layer) ? ["node s", "s", "in", "lane"] : layer === null ? ["node E", "node y", "node x", "E", "y"] : []).includes(kind);

/** Whether a network's weights fit one another, its sequence x and its targets d. */
function isNetwork(network, x, d) {
  const { activation, leak, loss, layers, weights } = network;
  const isElman = network.cell === "elman";
  const known = Object.hasOwn(page.formulas, network.cell) && Object.hasOwn(page.formulas[network.cell], loss);
  const phi = isElman ? page.choices.activations.includes(activation) && leak > 0 && leak <= 1 : true;
  if (!known || !phi || !isWhole(x.length, 1, MOST_STEPS) || d.length !== x.length) return false;
  const { matrices } = page.formulas[network.cell][loss].plain;
  if (!weights.every(({ name, latex, role }) => Object.hasOwn(matrices, name) && typeof latex === "string" && Object.hasOwn(EDGE_OF, role)) || !weights.flatMap(({ values }) => values.flat()).every(Number.isFinite)) return false;
  const { cell, layers: found, W_y, b_y } = networkOf(network);
  let width = x[0].length;
  if (!isMatrix(x, x.length, width)) return false;
  const plain = (rows) => Array.from(rows, (row) => (typeof row === "number" ? row : Array.from(row)));
  for (const { W_ih, W_hh, b_ih, b_hh, W_hr } of found) {
    const [gates, R] = [W_hh.length, W_hh[0].length];
    const H = gates / cell.gates;
    const biases = [b_ih, b_hh].every((b) => b === undefined || isVector(b, gates));
    const projected = W_hr ? isMatrix(plain(W_hr), R, H) : R === H;
    if (!isWhole(H, 1, MOST_UNITS) || !isMatrix(plain(W_ih), gates, width) || !isMatrix(plain(W_hh), gates, R) || !biases || !projected) return false;
    width = R;
  }
  const O = W_y.length;
  const target = typeof d[0] === "number" ? (row) => loss === "cross_entropy" && isWhole(row, 0, O - 1) : (row) => isVector(row, O);
  return layers.length > 0 && isMatrix(plain(W_y), O, width) && (b_y === null || isVector(b_y, O)) && d.every(target);
}
