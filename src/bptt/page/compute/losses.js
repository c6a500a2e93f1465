// The error E of one step and its derivative by z, the output before any softmax; d is a vector or a class number.

import { make } from "./vectors.js";

export function softmax(z) {
  const most = Math.max(...z);
  const e = z.map((value) => Math.exp(value - most));
  const sum = e.reduce((a, b) => a + b);
  return e.map((value) => value / sum);
}

/** A class number as the vector that is 1 there. */
const asVector = (d, size) => (typeof d === "number" ? make(size, (i) => (i === d ? 1 : 0)) : d);

const sum = (z, of) => z.reduce((total, _, i) => total + of(i), 0);

export const LOSSES = {
  squared_error: {
    output: (z) => z,
    error: (z, d) => sum(z, (i) => (d[i] - z[i]) ** 2),
    slope: (z, d) => make(z.length, (i) => 2 * (z[i] - d[i])),
  },
  absolute_error: {
    output: (z) => z,
    error: (z, d) => sum(z, (i) => Math.abs(d[i] - z[i])),
    slope: (z, d) => make(z.length, (i) => Math.sign(z[i] - d[i])),
  },
  cross_entropy: {
    output: softmax,
    error(z, d) {
      const most = Math.max(...z);
      const whole = most + Math.log(sum(z, (i) => Math.exp(z[i] - most)));
      const target = asVector(d, z.length);
      return sum(z, (i) => (target[i] ? target[i] * (whole - z[i]) : 0));
    },
    slope(z, d) {
      const target = asVector(d, z.length);
      const total = target.reduce((a, b) => a + b);
      const y = softmax(z);
      return make(z.length, (i) => total * y[i] - target[i]);
    },
  },
};
