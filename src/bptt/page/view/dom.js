// Elements in a line each.

const SVG = "http://www.w3.org/2000/svg";

/** An HTML element with attributes and children; strings become text, never markup. */
export function el(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** The same in SVG. */
export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(element, attributes, children) {
  set(element, attributes);
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

/** Set attributes; null removes one, a function becomes a listener. */
export function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === null || value === undefined || value === false) element.removeAttribute(name);
    else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value === true ? "" : value);
  }
  return element;
}

const written = new WeakMap();

/** Give an element the children that make(text) returns, unless they say the same already. */
export function write(element, text, make = (plain) => [plain]) {
  if (written.get(element) === text) return;
  written.set(element, text);
  element.replaceChildren(...make(text));
}

export const byId = (id) => document.getElementById(id);

/** Whether the reader asked for less motion. */
export const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
