// The numbers of test_cells.py as JavaScript finds them; the modules of compute/ stand before it.

const plain = (v) => (v === null || typeof v === "number" ? v : Array.from(v, plain));

const named = (pairs, f) => Object.fromEntries(pairs.map((pair) => [pair.name, plain(f(pair))]));

function answer([cases, t, lags, rate, clip]) {
  return cases.map(({ description, x, d }) => {
    const network = networkOf(description);
    const pass = forward(network, x, d);
    const found = backward(network, pass, t);
    const rows = (name) => plain(found.layers.map((walk) => walk[name].slice(1)));
    const zero = (row) => row.map(() => 0);
    const over_c = found.layers.map(({ over_lane }) => [...over_lane.slice(2), zero(over_lane[1])]);
    const parts = description.weights.map((weight) => ({ name: weight.name, ...contributions(weight, description.layers, pass, found) }));
    const shares = (weight) => Array.from({ length: t }, (_, i) => weight.parts.find(({ k }) => k === i + 1)?.share ?? 0);
    const whole = Object.entries(gradients(description, network, pass)).map(([name, gradient]) => ({ name, gradient }));
    const J = pass.layers.map((walk, l) => x.map((_, k) => jacobian(network.cell, network.layers[l], walk, k + 1)));
    const R = pass.layers[0].states[0][0].length;
    return {
      states: plain(pass.layers.map((walk) => walk.states.slice(1).map(([h]) => h))),
      y: plain(pass.y),
      E: pass.errors[t - 1],
      dh: rows("dh"),
      deltas: rows("delta_ih"),
      dx: rows("dx"),
      over_c: network.cell.gates === 4 ? plain(over_c) : [],
      parts: named(parts, (weight) => weight.parts.filter((part) => part.norm).map(product).reverse()),
      shares: named(parts, shares),
      gradient: named(parts, (weight) => weight.gradient),
      whole: named(whole, (weight) => weight.gradient),
      after: named(descended(description.weights, gradients(description, network, pass, t), rate, clip), (weight) => weight.values),
      exponents: J.map((j) => lyapunovExponents(j)),
      singular: J.map((j) => productSingularValues(j, t, lags)),
      radius: spectralRadius(network.layers[0].W_hh.slice(0, R).map((row) => row.slice(0, R))),
    };
  });
}
