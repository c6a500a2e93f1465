// Where the parts of the unfolded network stand.

const NARROW = 46; // the least distance of two steps
const CLOSE = 60; // below which the numbers between two steps need all there is
const WIDE = 210; // the largest
const LEFT = 58;
const RIGHT = 26;
const FIRST = 2; // steps drawn before a fold

/** The steps that are drawn: all where they fit, else the first ones, a fold (0), and those up to t. */
export function stepsDrawn(T, t, width) {
  const fit = Math.max(3, Math.floor((width - LEFT - RIGHT) / NARROW));
  if (T <= fit) return range(1, T);
  const last = Math.min(T, Math.max(t + 1, fit));
  if (last <= fit) return range(1, last);
  return [...range(1, FIRST), 0, ...range(last - (fit - FIRST - 1) + 1, last)];
}

const range = (first, last) => Array.from({ length: last - first + 1 }, (_, i) => first + i);

/** Rows, sizes and columns for n columns of a network in so many pixels. */
export function layout(layers, n, width, tall) {
  const step = Math.min(WIDE, Math.max(NARROW, (width - LEFT - RIGHT) / n));
  const whole = Math.max(width, LEFT + RIGHT + n * step);
  const shift = (whole - (LEFT + RIGHT + n * step)) / 2;
  const box = Math.min(60, step * (step < CLOSE ? 0.42 : 0.46));
  const high = tall ? 124 : box;
  const row = tall ? 176 : 104;
  const rows = { E: 26, y: 96 };
  layers.forEach((layer, i) => {
    rows[layer] = 96 + (tall ? 118 : 92) + row * (layers.length - 1 - i);
  });
  rows.x = rows[layers[0]] + (tall ? 112 : 90);
  return {
    step, box, high, rows, width: whole, height: rows.x + 44, tall,
    roomy: step - box >= 46,
    column: (i) => shift + LEFT + step * (i + 0.5),
    middle: shift + LEFT + (step * n) / 2,
    linkY: (layer) => rows[layer] - (tall ? 32 : 0),
    laneY: (layer) => rows[layer] + 27,
  };
}

/** Dots for a vector's entries. */
export function dotPlaces(count, width, height) {
  const shown = Math.min(count, 16);
  const across = shown <= 3 && width > 34 ? shown : Math.ceil(Math.sqrt(shown));
  const down = Math.ceil(shown / across);
  const pitch = Math.min(18, (width - 6) / across, (height - 6) / down);
  return Array.from({ length: shown }, (_, i) => ({
    x: ((i % across) - (across - 1) / 2) * pitch,
    y: (Math.floor(i / across) - (down - 1) / 2) * pitch,
    most: Math.max(1.2, (pitch - 2) / 2),
  }));
}

export const line = (x1, y1, x2, y2) => `M${x1.toFixed(1)} ${y1.toFixed(1)}L${x2.toFixed(1)} ${y2.toFixed(1)}`;

/** The state's way into itself, as the folded network has it. */
export function loop(x, y, box, inside = 0) {
  const edge = x + box / 2 + 2;
  const reach = edge + 70 - 2.4 * inside;
  const high = 62 - 2.4 * inside;
  return `M${edge} ${y - 16 + inside}C${reach} ${y - high} ${reach} ${y + high} ${edge + 2} ${y + 16 - inside}`;
}
