// Networks with random weights from a seed, described as the page's own is.

/** Numbers from a normal distribution, the same for the same seed (mulberry32, Box and Muller). */
export function normals(seed) {
  let a = seed >>> 0;
  const uniform = () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let r = Math.imul(a ^ (a >>> 15), 1 | a);
    r = (r + Math.imul(r ^ (r >>> 7), 61 | r)) ^ r;
    return ((r ^ (r >>> 14)) >>> 0) / 4294967296;
  };
  return () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
}

const GATES = { elman: 1, gru: 3, lstm: 4 };

/** A network of one layer; its recurrent matrix has orthogonal blocks times `radius`, its gates a bias in their inputs. */
export function randomNetwork({ cell, inputs, units, outputs, seed, loss = "squared_error", radius = 1, activation = "tanh", leak = 1 }) {
  const draw = normals(seed);
  const matrix = (rows, columns, size) => Array.from({ length: rows }, () => Array.from({ length: columns }, () => rounded(size * draw())));
  const blocks = Array.from({ length: GATES[cell] }, () => orthogonal(units, draw));
  const recurrent = Array.from({ length: units }, (_, i) => blocks.flatMap((block) => block[i].map((value) => rounded(radius * value))));
  const [x, s, y] = cell === "elman" ? ["W_x", "W_s", "W_y"] : ["recurrent.weight_ih_l0", "recurrent.weight_hh_l0", "readout.weight"];
  const weights = [
    { name: x, latex: "W_x", role: "input", layer: "l0", values: matrix(inputs, units * GATES[cell], 0.7 / Math.sqrt(inputs)) },
    { name: s, latex: "W_s", role: "recurrent", layer: "l0", values: recurrent },
    { name: y, latex: "W_y", role: "readout", layer: null, values: matrix(units, outputs, 1 / Math.sqrt(units)) },
  ];
  if (cell !== "elman") weights.push({ name: "readout.bias", latex: "b_y", role: "readout_bias", layer: null, values: new Array(outputs).fill(0) });
  return { cell, activation, leak, loss, layers: ["l0"], weights };
}

const rounded = (value) => Number(value.toPrecision(4));

/** A random orthogonal matrix: Gram and Schmidt on random rows. */
function orthogonal(n, draw) {
  const rows = [];
  while (rows.length < n) {
    let row = Array.from({ length: n }, draw);
    for (const other of rows) {
      const along = row.reduce((sum, value, i) => sum + value * other[i], 0);
      row = row.map((value, i) => value - along * other[i]);
    }
    const length = Math.hypot(...row);
    if (length > 1e-6) rows.push(row.map((value) => value / length));
  }
  return rows;
}

/** A sequence of random rows. */
export function randomRows(steps, size, seed) {
  const draw = normals(seed);
  return Array.from({ length: steps }, () => Array.from({ length: size }, () => rounded(draw())));
}
