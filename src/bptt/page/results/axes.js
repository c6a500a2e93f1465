// Ranges and ticks of a chart's axes, for any size of numbers.

import { number, raised } from "../view/numbers.js";

/** The range of values with a margin, where a value lies in it (0 to 1), and some ticks: {place, ticks}. */
export function axis(values, { log = false, count = 5 } = {}) {
  let [low, high] = extent(log ? values.filter((value) => value > 0) : values);
  if (low === high) [low, high] = log ? [low / 1.2, high * 1.2] : [low - (Math.abs(low) || 1) * 0.1, high + (Math.abs(high) || 1) * 0.1];
  const scale = log ? Math.log10 : (value) => value;
  const margin = 0.04 * (scale(high) - scale(low));
  const [first, last] = [scale(low) - margin, scale(high) + margin];
  const ticks = log && high / low >= 5 ? powerTicks(low, high, count) : evenTicks(low, high, count);
  return { place: (value) => (scale(value) - first) / (last - first), ticks };
}

/** The least and the largest of the numbers among values. */
export function extent(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (value === null || !Number.isFinite(value)) continue;
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return low > high ? [0, 1] : [low, high];
}

/** Ticks at equal distances of 1, 2 or 5 times a power of ten. */
export function evenTicks(low, high, count, least = 0) {
  const rough = Math.max((high - low) / count, least);
  const size = 10 ** Math.floor(Math.log10(rough) + 1e-9);
  const step = [1, 2, 5, 10].map((by) => by * size).find((by) => by >= rough * (1 - 1e-9));
  const ticks = [];
  for (let i = Math.ceil(low / step - 1e-9); i <= high / step + 1e-9; i++) ticks.push(i * step);
  const largest = Math.max(Math.abs(low), Math.abs(high));
  return ticks.map((value) => ({ value, text: toStep(value, step, largest) }));
}

/** A number rounded to a step; where that needs too many digits, all of an axis with one power of ten. */
function toStep(value, step, largest) {
  const digits = (size) => Math.max(0, Math.ceil(-Math.log10(size) - 1e-9));
  if (largest < 1e7 && digits(step) <= 5) return fixed(value, digits(step));
  const exponent = Math.floor(Math.log10(largest));
  return value === 0 ? "0" : `${fixed(value / 10 ** exponent, digits(step / 10 ** exponent))}·10${raised(exponent)}`;
}

/** A number with so many decimals, groups of thousands and a true minus sign. */
export function fixed(value, decimals) {
  if (value === null || !Number.isFinite(value)) return "missing";
  if (decimals > 9 || Math.abs(value) >= 1e9) return number(value);
  const text = value.toLocaleString("en", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
  return text.replace(/^-(0\.?0*)$/, "$1").replace("-", "−");
}

/** Ticks at powers of ten, and at 2 and 5 times them where there are few. */
function powerTicks(low, high, count) {
  const [first, last] = [Math.floor(Math.log10(low) + 1e-9), Math.ceil(Math.log10(high) - 1e-9)];
  const every = Math.ceil((last - first) / count);
  const ticks = [];
  for (let power = first; power <= last; power++) {
    if (last - first <= 3) ticks.push(...[1, 2, 5].map((by) => by * 10 ** power));
    else if ((power - first) % every === 0) ticks.push(10 ** power);
  }
  const inside = ticks.filter((value) => value >= low / 1.05 && value <= high * 1.05);
  return inside.map((value) => ({ value, text: number(value, 2).replace(/^1·/, "") }));
}
