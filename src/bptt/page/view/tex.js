// LaTeX as the derivation writes it, set as HTML: letters, indices, fractions.

import { el } from "./dom.js";

const SIGNS = {
  delta: "δ", varepsilon: "ε", sigma: "σ", alpha: "α", Phi: "Φ", odot: "⊙", times: "×", cdots: "⋯", cdot: "·", sum: "Σ", leftarrow: "←",
  rightarrow: "→", ell: "ℓ", in: "∈", neq: "≠", leq: "≤", partial: "∂", lVert: "‖", rVert: "‖", quad: "\u2003", ",": "\u2009", "{": "{", "}": "}", "%": "%", " ": " ",
};
const UPRIGHT = new Set(["tanh", "log", "mathrm", "text", "mathsf"]);

/** A formula; its letters t, k and ℓ are replaced by the numbers given: tex("s_{k-1}", {k: 3}) is s₂. */
export function tex(latex, numbers = {}, tag = "span") {
  return el(tag, { class: "formula" }, ...typeset(at(latex, numbers)));
}

/** The formula at a step. */
export function at(latex, numbers) {
  const of = (letter, by) => (letter in numbers ? String(numbers[letter] + Number(by ?? 0)) : null);
  return latex
    .replace(/_\{([tk])([+-]1)?(,i)?\}|_([tk])(?![a-zA-Z])/g, (all, braced, by, comma, single) => {
      const found = of(braced ?? single, by);
      return found === null ? all : `_{${found}${comma ?? ""}}`;
    })
    .replace(/(\^\{|\\neq )t\b/g, (all, before) => (of("t") === null ? all : before + of("t")))
    .replace(/\(\\ell([+-]1)?\)/g, (all, by) => (of("l") === null ? all : `(${of("l", by)})`));
}

function typeset(latex) {
  const found = [];
  let rest = latex;
  const group = () => {
    if (rest[0] !== "{") {
      const single = rest.match(/^(\\[a-zA-Z]+|.)/)[0];
      rest = rest.slice(single.length);
      return single;
    }
    let depth = 0;
    for (let i = 0; i < rest.length; i++) {
      depth += { "{": 1, "}": -1 }[rest[i]] ?? 0;
      if (depth === 0) {
        const inside = rest.slice(1, i);
        rest = rest.slice(i + 1);
        return inside;
      }
    }
    return "";
  };
  while (rest) {
    const command = rest.match(/^\\([a-zA-Z]+|.)( (?![=+-]))?/);
    if (command) {
      rest = rest.slice(command[0].length);
      const name = command[1];
      if (name === "frac") found.push(el("span", { class: "fraction" }, el("span", {}, ...typeset(group())), el("span", {}, ...typeset(group()))));
      else if (name === "tilde") found.push(el("i", {}, `${SIGNS[group().slice(1)]}\u0303`));
      else if (name === "mathsf") found.push(group() === "T" ? "ᵀ" : "");
      else if (UPRIGHT.has(name)) found.push(el("span", { class: "upright" }, name === "text" || name === "mathrm" ? group() : `${name} `));
      else found.push(/[α-ωΦℓ]/.test(SIGNS[name] ?? "") ? el("i", {}, SIGNS[name]) : (SIGNS[name] ?? name));
      if (name === "odot" || name === "neq" || name === "times" || name === "in" || name === "leq") found.push(" ");
    } else if (rest[0] === "_" || rest[0] === "^") {
      const tag = rest[0] === "_" ? "sub" : "sup";
      rest = rest.slice(1);
      const inside = group();
      if (inside === "\\mathsf{T}") found.push(el("sup", {}, "T"));
      else found.push(el(tag, {}, ...typeset(inside.replaceAll("\\mathsf{T}", " T"))));
    } else if (/[a-zA-Z]/.test(rest[0])) {
      found.push(el("i", {}, rest[0]));
      rest = rest.slice(1);
    } else {
      const plain = rest.match(/^[^a-zA-Z\\_^]+/)[0];
      found.push(plain.replaceAll("-", "−").replaceAll("'", "′").replace(/[{}]/g, ""));
      rest = rest.slice(plain.length);
    }
  }
  return found;
}
