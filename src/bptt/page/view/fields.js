// A number that is changed where it stands: by typing, by dragging, by arrow keys; a refused value rolls back.

import { el } from "./dom.js";

const LETTERS = 7; // that a field has space for
const DRAG = 3; // pixels after which a press is a drag

/** A field for a number: take(value, same) keeps it, or returns why not; `same` joins it to the edit before. */
export function field(value, name, take, step = 0.01) {
  const input = el("input", { type: "text", inputmode: "decimal", class: "field", "aria-label": name, "data-key": name, autocomplete: "off", spellcheck: "false" });
  input.kept = value;
  show(input);
  input.addEventListener("change", () => commit(input, typed(input.value), take, false));
  input.addEventListener("keydown", (event) => {
    const by = { ArrowUp: step, ArrowDown: -step }[event.key];
    if (event.key === "Escape") show(input);
    if (!by) return;
    event.preventDefault();
    commit(input, input.kept + by * (event.shiftKey ? 10 : 1), take, false);
  });
  input.addEventListener("pointerdown", (event) => drag(event, input, take, step));
  return input;
}

const typed = (text) => {
  const plain = text.trim().replace("−", "-").replace(",", ".");
  return plain === "" ? NaN : Number(plain);
};

export function show(input) {
  const { kept } = input;
  const text = kept === null || kept === undefined || !Number.isFinite(kept) ? "" : short(kept);
  if (input.value !== text) input.value = text;
}

/** A number in at most `LETTERS` letters, with four significant digits where they fit. */
function short(value) {
  const texts = [4, 3, 2].map((digits) => String(Number(value.toPrecision(digits))));
  return texts.find((text) => text.length <= LETTERS) ?? value.toExponential(1);
}

function commit(input, value, take, same) {
  const why = take(value, same);
  if (!why) input.kept = value;
  show(input);
  complain(input, why);
}

/** Say beside a field why its value was refused; it is unsaid with the next one. */
export function complain(input, why) {
  const place = input.closest("td, label, .beside-field") ?? input.parentElement;
  place.querySelector(".refused")?.remove();
  input.removeAttribute("aria-invalid");
  if (!why) return;
  input.setAttribute("aria-invalid", "true");
  place.append(el("span", { class: "refused", role: "alert" }, why));
}

/** Move a value with the pointer, a step for each pixel; a press without a move edits as always. */
function drag(event, input, take, step) {
  if (document.activeElement === input || event.button !== 0) return;
  const [from, start] = [event.clientX, input.kept];
  let moved = false;
  const move = (next) => {
    const by = next.clientX - from;
    if (!moved && Math.abs(by) < DRAG) return;
    next.preventDefault();
    input.blur();
    commit(input, Number((start + step * by).toPrecision(6)), take, moved);
    moved = true;
  };
  const end = () => {
    removeEventListener("pointermove", move);
    removeEventListener("pointerup", end);
    removeEventListener("pointercancel", end);
  };
  addEventListener("pointermove", move);
  addEventListener("pointerup", end);
  addEventListener("pointercancel", end);
}

/** Give the fields of a place new values; where their names differ, new fields. */
export function keep(place, fresh) {
  const fields = (parent) => [...parent.querySelectorAll("[data-key]")];
  const [old, now] = [fields(place), fresh.flatMap((part) => (part.dataset?.key ? [part] : fields(part)))];
  if (old.length && old.length === now.length && old.every((one, i) => one.dataset.key === now[i].dataset.key)) {
    old.forEach((one, i) => {
      one.kept = now[i].kept;
      if (one !== document.activeElement) show(one);
    });
  } else place.replaceChildren(...fresh);
}
