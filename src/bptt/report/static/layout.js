// Where the parts of the unfolded network stand.

const ROW = 104; // between layers
const NARROW = 50; // the least distance of two steps
const WIDE = 250; // the largest
const ROOMY = 92; // from which on letters fit

/** Positions for n steps and these layers in so many pixels of width. */
export function layout(layers, n, width) {
  const left = 64;
  const right = 34;
  const step = Math.min(WIDE, Math.max(NARROW, (width - left - right) / n));
  const whole = Math.max(width, left + right + n * step);
  const shift = (whole - (left + right + n * step)) / 2;
  const top = 126 + ROW;
  const rows = { E: 34, y: 126, x: top + ROW * layers.length };
  layers.forEach((layer, i) => {
    rows[layer] = top + ROW * (layers.length - 1 - i);
  });
  return {
    step,
    width: whole,
    height: rows.x + 46,
    rows,
    box: step >= ROOMY ? Math.min(64, step * 0.6) : 30,
    roomy: step >= ROOMY,
    column: (i) => shift + left + step * (i + 0.5),
    middle: shift + left + (step * n) / 2,
  };
}

const DOT = 7.5;

/** Dots for a vector's entries: their size is the value's, filled above 0 and hollow below. */
export function dotPlaces(count, box) {
  const shown = Math.min(count, 16);
  const across = shown <= 3 ? shown : Math.ceil(Math.sqrt(shown));
  const down = Math.ceil(shown / across);
  const pitch = Math.min(2 * DOT + 3, (box - 6) / Math.max(across, down));
  return Array.from({ length: shown }, (_, i) => ({
    x: ((i % across) - (across - 1) / 2) * pitch,
    y: (Math.floor(i / across) - (down - 1) / 2) * pitch,
    most: (pitch - 2) / 2,
  }));
}

/** A line from a to b, shortened at its ends. */
export function line(x1, y1, x2, y2) {
  return `M${x1.toFixed(1)} ${y1.toFixed(1)}L${x2.toFixed(1)} ${y2.toFixed(1)}`;
}

/** A loop at the right of a box: out of it, around, and in again from below; the way back lies inside of it. */
export function loop(x, y, box, inside = 0) {
  const edge = x + box / 2 + 2;
  const reach = edge + 70 - 2.4 * inside;
  const high = 62 - 2.4 * inside;
  return `M${edge} ${y - 16 + inside}C${reach} ${y - high} ${reach} ${y + high} ${edge + 2} ${y + 16 - inside}`;
}
