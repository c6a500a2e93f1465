// A network too large to compute with, seen through what was recorded of it: norms by step t and lag.

/** The same form as computed numbers have, as far as it was recorded. */
export function recordedPasses({ outputs, errors, flow, norm, share, total }, { t }) {
  const parts = {};
  for (const [name, rows] of Object.entries(norm)) {
    parts[name] = { total: total[name][t - 1], gradient: null, parts: rows[t - 1].map((size, lag) => ({ k: t - lag, norm: size, share: share[name][t - 1][lag] })) };
  }
  const found = { t, first: 1, layers: [], flow: (layer, k) => (k < 1 || k > t ? null : (flow[layer][t - 1][t - k] ?? null)) };
  return { network: null, pass: { y: outputs, errors, layers: [] }, found, parts };
}
