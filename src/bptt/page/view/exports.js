// Taking it along: the diagram as SVG or PNG, the derivation as LaTeX, the network as Python, a link to the state.

import { byId, el } from "./dom.js";
import { built } from "./drawing.js";
import { rule } from "./derivation.js";
import { product } from "../compute/network.js";
import { sharedState } from "./shared.js";
import { page, partsOf, shown, state } from "./store.js";

const STYLES = ["fill", "stroke", "stroke-width", "stroke-dasharray", "opacity", "font-family", "font-size", "font-style", "text-anchor", "display", "visibility"];

export function setUpExports() {
  byId("as-svg").addEventListener("click", () => save("bptt.svg", new Blob([picture()], { type: "image/svg+xml" })));
  byId("as-png").addEventListener("click", asPng);
  byId("as-latex").addEventListener("click", () => copy(latex(), "The LaTeX is copied."));
  byId("as-python").addEventListener("click", () => copy(python(), "The cell is copied; paste it into a notebook."));
  byId("share").addEventListener("click", async () => copy(`${location.href.split("#")[0]}#${await sharedState()}`, "The link is copied."));
  byId("as-python").hidden = byId("as-latex").hidden = byId("share").hidden = Boolean(page.recorded);
}

function save(name, blob) {
  const link = el("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

/** The diagram with its styles inside, to stand alone. */
export function picture() {
  const { root } = built;
  const copyOf = root.cloneNode(true);
  const originals = [root, ...root.querySelectorAll("*")];
  [copyOf, ...copyOf.querySelectorAll("*")].forEach((element, i) => {
    const style = getComputedStyle(originals[i]);
    element.setAttribute("style", STYLES.map((name) => `${name}:${style.getPropertyValue(name)}`).join(";"));
  });
  copyOf.insertAdjacentHTML("afterbegin", `<rect width="100%" height="100%" fill="${getComputedStyle(document.body).backgroundColor}"/>`);
  return new XMLSerializer().serializeToString(copyOf);
}

async function asPng() {
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(picture())}`;
  await image.decode();
  const canvas = el("canvas", { width: 2 * image.width, height: 2 * image.height });
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  canvas.toBlob((blob) => save("bptt.png", blob));
}

async function copy(text, say) {
  const field = byId("copied");
  field.hidden = false;
  field.value = text;
  field.select();
  const done = await navigator.clipboard.writeText(text).then(() => true, () => false);
  byId("copied-says").textContent = done ? say : "Copy it from the field.";
}

const latexMatrix = (values) => {
  const rows = values[0]?.length === undefined ? [values] : values;
  return `\\begin{bmatrix} ${rows.map((row) => Array.from(row, (value) => Number(value.toPrecision(3))).join(" & ")).join(" \\\\ ")} \\end{bmatrix}`;
};

/** The derivation that is shown, with its numbers; needs amsmath. */
export function latex() {
  const { parts, gradient } = partsOf(state.weight);
  const terms = parts.map(product).map(latexMatrix);
  const numbers = terms.length > 6 ? [...terms.slice(0, 3), "\\cdots", ...terms.slice(-1)] : terms;
  const lines = [...rule().map((line) => line.replace(" = ", " &= ")), `&= ${numbers.join(" + ")}`, `&= ${latexMatrix(gradient)}`];
  const [first, ...rest] = lines;
  const after = [...rest.slice(-2), ...rest.slice(0, -2)];
  return `\\begin{aligned}\n${[first, ...after].join(" \\\\\n")}\n\\end{aligned}\n`;
}

/** The state as Python, for a notebook cell. */
export function python() {
  const { network, t } = state;
  const { cell, activation, leak, loss, weights, layers } = network;
  const list = (rows) => JSON.stringify(Array.from(rows, (row) => (typeof row === "number" ? row : Array.from(row))));
  const sizeOf = (role) => weights.find((weight) => weight.role === role).values;
  const [I, H, O] = [sizeOf("input").length, sizeOf("readout").length, sizeOf("readout")[0].length];
  const isElman = weights.some(({ name }) => name === "W_s");
  const entropy = loss === "cross_entropy";
  const made = isElman
    ? [`net = bptt.Elman(${I}, ${H}, ${O}, "${activation}", softmax=${entropy ? "True" : "False"}, bias=${weights.some(({ name }) => name === "b_s") ? "True" : "False"}, leak=${leak}, dtype=torch.float64)`, ...weights.map(({ name, values }) => `net.${name} = ${list(values)}`)]
    : [
        `net = bptt.SequenceModel(bptt.${{ elman: "RNN", gru: "GRU", lstm: "LSTM" }[cell]}(${I}, ${H}, ${layers.length}, dtype=torch.float64), ${O})`,
        `net.load_state_dict({${weights.map(({ name, values }) => `"${name}": torch.tensor(${list(values)}, dtype=torch.float64)${Array.isArray(values[0]) ? ".mT" : ""}`).join(", ")}}, strict=False)`,
      ];
  const d = `torch.tensor(${list(shown(state.d))}${entropy && typeof state.d[0] === "number" ? "" : ", dtype=torch.float64"})`;
  return ["import torch", "import bptt", "", ...made, `x = torch.tensor(${list(shown(state.x))}, dtype=torch.float64)`, `d = ${d}`, `bptt.explain(net, x, d, ${entropy ? "bptt.cross_entropy" : loss === "absolute_error" ? "lambda y, d: (y - d).abs().sum()" : "bptt.squared_error"}, t=${t})`, ""].join("\n");
}
