// Row vectors and matrices: a vector is an array of numbers, a matrix an array of its rows.

export function make(n, at) {
  const found = new Float64Array(n);
  for (let i = 0; i < n; i++) found[i] = at(i);
  return found;
}

export const zeros = (n) => new Float64Array(n);

export const add = (a, b) => make(a.length, (i) => a[i] + b[i]);

export const minus = (a, b) => make(a.length, (i) => a[i] - b[i]);

export function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

/** x Wᵀ + b, as torch's: W (out, in). */
export const linear = (x, W, b = null) => make(W.length, (i) => dot(W[i], x) + (b ? b[i] : 0));

/** delta W, the way back through `linear`. */
export function back(delta, W) {
  const found = zeros(W[0].length);
  for (let i = 0; i < W.length; i++) {
    const row = W[i];
    for (let j = 0; j < row.length; j++) found[j] += delta[i] * row[j];
  }
  return found;
}

/** xᵀ delta. */
export const outer = (x, delta) => Array.from(x, (value) => make(delta.length, (j) => value * delta[j]));

export const norm = (v) => Math.sqrt(dot(v, v));

export const transposed = (M) => Array.from(M[0], (_, j) => make(M.length, (i) => M[i][j]));

/** A vector cut into so many equal parts. */
export function chunk(v, parts) {
  const size = v.length / parts;
  return Array.from({ length: parts }, (_, i) => v.slice(i * size, (i + 1) * size));
}

/** Vectors end to end. */
export function cat(...vectors) {
  const found = zeros(vectors.reduce((sum, v) => sum + v.length, 0));
  let start = 0;
  for (const v of vectors) {
    found.set(v, start);
    start += v.length;
  }
  return found;
}
