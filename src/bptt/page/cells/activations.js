// Activations Φ with their derivatives, twins of equations/activations.py: the derivative is written in what the
// forward pass keeps, s = Φ(a) or a itself.

export const sigmoid = (a) => (a >= 0 ? 1 / (1 + Math.exp(-a)) : Math.exp(a) / (1 + Math.exp(a)));

const softplus = (a) => Math.max(a, 0) + Math.log1p(Math.exp(-Math.abs(a)));

const gelu = (a) => 0.5 * a * erfc(-a / Math.SQRT2);

const gelu_derivative = (a) => 0.5 * erfc(-a / Math.SQRT2) + (a * Math.exp(-0.5 * a * a)) / Math.sqrt(2 * Math.PI);

export const ACTIVATIONS = {
  tanh: { function: Math.tanh, derivative: (s) => 1 - s * s, keeps: "output" },
  relu: { function: (a) => Math.max(a, 0), derivative: (s) => (s > 0 ? 1 : 0), keeps: "output" },
  sigmoid: { function: sigmoid, derivative: (s) => s * (1 - s), keeps: "output" },
  softplus: { function: softplus, derivative: (s) => -Math.expm1(-s), keeps: "output" },
  gelu: { function: gelu, derivative: gelu_derivative, keeps: "input" },
  identity: { function: (a) => a, derivative: () => 1, keeps: "output" },
};

/** 1 - erf(x): erf's series near 0, else Lentz's continued fraction (Abramowitz & Stegun 7.1.5 and 7.1.14). */
function erfc(x) {
  if (x < 0) return 2 - erfc(-x);
  if (x < 2.5) {
    let term = x;
    let sum = x;
    for (let n = 1; Math.abs(term) > 1e-18 * sum; n++) {
      term *= (-x * x) / n;
      sum += term / (2 * n + 1);
    }
    return 1 - (2 / Math.sqrt(Math.PI)) * sum;
  }
  let fraction = 0;
  for (let n = 60; n > 0; n--) fraction = n / 2 / (x + fraction);
  return Math.exp(-x * x) / (Math.sqrt(Math.PI) * (x + fraction));
}
