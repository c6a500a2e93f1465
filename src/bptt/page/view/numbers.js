// Numbers, vectors and matrices as a reader meets them.

import { el } from "./dom.js";

const NOT_FINITE = "not finite";

/** A number with so many significant digits and a true minus sign. */
export function number(value, digits = 4) {
  if (value === null || value === undefined || !Number.isFinite(value)) return NOT_FINITE;
  if (value === 0) return "0";
  const size = Math.abs(value);
  const text = size >= 1e5 || size < 1e-3 ? power(value, digits) : String(Number(value.toPrecision(digits)));
  return text.replace("-", "−");
}

/** A short form of a size for narrow places: a whole percentage, two digits, or its power of ten alone. */
export function roughly(value, quantity) {
  if (quantity === "percent") {
    const part = 100 * value;
    if (part === 0) return "0%";
    if (part >= 0.05) return `${part >= 0.95 ? Math.round(part) : part.toFixed(1)}%`;
    return `10${raised(Math.round(Math.log10(part)))}%`;
  }
  if (value === 0 || (value >= 0.01 && value < 1000)) return number(value, 2);
  return `10${raised(Math.round(Math.log10(value)))}`;
}

export const raised = (exponent) => String(exponent).replace(/./g, (c) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[c] ?? "⁻");

function power(value, digits) {
  const [mantissa, exponent] = value.toExponential(Math.min(2, digits - 1)).split("e");
  return `${Number(mantissa)}·10${raised(Number(exponent))}`;
}

/** A part as a percentage, signed. */
export function percent(part) {
  if (part === null || part === undefined || !Number.isFinite(part)) return NOT_FINITE;
  const size = Math.abs(100 * part);
  if (size > 0 && size < 0.05) return `${number(100 * part, 2)} %`;
  return `${(100 * part).toFixed(size >= 99.95 || size === 0 ? 0 : 1).replace("-", "−")} %`;
}

/** A vector or matrix in brackets; what does not fit is said, not shown. */
export function brackets(values, most = 6) {
  const rows = values[0]?.length === undefined ? [values] : values;
  const wide = rows[0].length > most;
  const shown = wide ? most - 1 : most;
  const table = el("table", { class: "brackets", role: "presentation" });
  for (const row of Array.from(rows).slice(0, most)) {
    const cells = Array.from(row.slice(0, shown), (value) => el("td", {}, number(value, 3)));
    table.append(el("tr", {}, ...cells, wide ? el("td", {}, "…") : null));
  }
  if (rows.length > most) table.append(el("tr", {}, el("td", {}, "⋮")));
  const size = rows.length > 1 ? `${rows.length} × ${rows[0].length}` : `${rows[0].length} numbers`;
  return wide || rows.length > most ? el("span", { class: "sized" }, table, el("small", {}, size)) : table;
}

/** A bar from the middle: to the right above 0, to the left below. */
export function shareBar(share, most = 1) {
  const width = Math.min(50, (50 * Math.abs(share ?? 0)) / most);
  const bar = el("span", { class: share < 0 ? "bar against" : "bar along", "aria-hidden": "true" });
  bar.append(el("i", { style: `width:${width}%;${share < 0 ? "right" : "left"}:50%` }));
  return bar;
}
