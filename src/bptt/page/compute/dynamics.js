// The network as a dynamical system: Jacobians, Lyapunov exponents, singular values, the spectral radius of W_s.

import { dot, make, norm, transposed, zeros } from "./vectors.js";

/** J[i][j] = ∂(state after step k)_i / ∂(state before it)_j of one layer: the backward passes of unit seeds. */
export function jacobian(cell, w, walk, k) {
  const sizes = walk.states[0].map((part) => part.length);
  const rows = [];
  sizes.forEach((size, p) => {
    for (let i = 0; i < size; i++) {
      const seed = sizes.map((n, q) => make(n, (j) => (p === q && i === j ? 1 : 0)));
      rows.push(Float64Array.from(cell.stepAdjoint(seed, walk.kept[k - 1], w).d_state.flatMap((part) => [...part])));
    }
  });
  return rows;
}

/** Every exponent, the largest first, averaged over the steps after a fifth in which the directions align.
 *
 * Benettin et al. (1980), as insight/diagnosis/lyapunov.py: directions go back in time and are made orthonormal. */
export function lyapunovExponents(jacobians) {
  const T = jacobians.length;
  const S = jacobians[0].length;
  const warmUp = Math.floor(T / 5);
  const sums = zeros(S);
  let directions = identity(S);
  for (let t = T - 1; t >= 0; t--) {
    const columns = transposed(jacobians[t]);
    directions = directions.map((direction) => make(S, (i) => dot(columns[i], direction))); // Jᵀ direction
    const lengths = orthonormalise(directions);
    if (T - 1 - t >= warmUp) lengths.forEach((length, i) => (sums[i] += Math.log(length)));
  }
  return Array.from(sums, (sum) => sum / (T - warmUp)).sort((a, b) => b - a);
}

const identity = (S) => Array.from({ length: S }, (_, i) => make(S, (j) => (i === j ? 1 : 0)));

/** Gram and Schmidt, twice over for the sake of rounding; returns the lengths that were left, R's diagonal. */
function orthonormalise(rows) {
  return rows.map((row, i) => {
    for (let again = 0; again < 2; again++) {
      for (let j = 0; j < i; j++) {
        const along = dot(row, rows[j]);
        for (let n = 0; n < row.length; n++) row[n] -= along * rows[j][n];
      }
    }
    const length = norm(row);
    if (length > 0) for (let n = 0; n < row.length; n++) row[n] /= length;
    return length;
  });
}

/** The singular values of J_t ... J_{t-n+1} for each n in lags (ascending), the largest first. */
export function productSingularValues(jacobians, t, lags) {
  let product = identity(jacobians[0].length);
  const found = [];
  for (let n = 1; n <= lags.at(-1); n++) {
    const columns = transposed(jacobians[t - n]);
    product = product.map((row) => make(row.length, (j) => dot(row, columns[j])));
    if (lags.includes(n)) found.push(singularValues(product));
  }
  return found;
}

/** One-sided Jacobi (Hestenes 1958): rows are turned against each other until all are orthogonal. */
export function singularValues(matrix) {
  const rows = matrix.map((row) => Float64Array.from(row));
  for (let sweep = 0; sweep < 60; sweep++) {
    let turned = false;
    for (let p = 0; p < rows.length - 1; p++) {
      for (let q = p + 1; q < rows.length; q++) turned = turn(rows[p], rows[q]) || turned;
    }
    if (!turned) break;
  }
  return rows.map(norm).sort((a, b) => b - a);
}

/** Turn two rows in their plane so that they are orthogonal; whether they were not. */
function turn(a, b) {
  const [aa, bb, ab] = [dot(a, a), dot(b, b), dot(a, b)];
  if (Math.abs(ab) <= 1e-15 * Math.sqrt(aa * bb)) return false;
  const tau = (bb - aa) / (2 * ab);
  const tan = (tau < 0 ? -1 : 1) / (Math.abs(tau) + Math.hypot(1, tau));
  const cos = 1 / Math.hypot(1, tan);
  for (let i = 0; i < a.length; i++) [a[i], b[i]] = [cos * (a[i] - tan * b[i]), cos * (b[i] + tan * a[i])];
  return true;
}

/** The largest absolute eigenvalue of a square matrix: ‖W^n‖^(1/n) (Gelfand), n = 2^40 by squaring. */
export function spectralRadius(W) {
  let power = W.map((row) => Float64Array.from(row));
  let log = 0; // of the factor that power lacks
  let n = 1;
  for (let i = 0; i < 40; i++) {
    const size = Math.sqrt(power.reduce((sum, row) => sum + dot(row, row), 0));
    if (!(size > 0)) return 0;
    power = power.map((row) => row.map((value) => value / size));
    log += Math.log(size) / n;
    const columns = transposed(power);
    power = power.map((row) => make(row.length, (j) => dot(row, columns[j])));
    n *= 2;
  }
  return Math.exp(log);
}
