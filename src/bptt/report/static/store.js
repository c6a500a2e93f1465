// What the page shows, in one place: its data, the step t, what is selected; and who wants to know of a change.

const listeners = [];

export const store = {
  page: null, // the whole document
  network: null, // page.exploration
  t: 1, // the step whose error goes back
  selected: { kind: "s", layer: null, k: 1 },
  weight: null, // the name of the matrix whose derivation is shown
  unfolded: false,
};

/** Call listener(what) after each change; what is "data", "t", "selected", "weight" or "unfolded". */
export function onChange(listener) {
  listeners.push(listener);
}

export function change(changes) {
  const what = new Set(Object.keys(changes).map((key) => (key === "network" ? "data" : key)));
  Object.assign(store, changes);
  for (const listener of listeners) listener(what);
}

/** The lag of step k seen from t, or null where E_t does not reach it or it is not kept. */
export function lagOf(k) {
  const lag = store.t - k;
  return lag >= 0 && lag < store.network.backward.kept ? lag : null;
}

/** The entry for t and step k of a field of `backward`, by layer or weight. */
export function backAt(field, name, k) {
  const lag = lagOf(k);
  const rows = store.network.backward[field][name];
  return lag === null || !rows ? null : rows[store.t - 1][lag];
}

/** How step k is called: its number, and its label where the run has one. */
export function stepName(k) {
  const label = store.page.times?.[k - 1];
  return label === undefined ? `step ${k}` : `step ${k} (${label})`;
}

export const weightOf = (name) => store.network.weights.find((weight) => weight.name === name);

/** The weights with a role, of a layer or of the read-out. */
export const weightsOf = (role, layer = null) =>
  store.network.weights.filter((weight) => weight.role === role && weight.layer === layer);
