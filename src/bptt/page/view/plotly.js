// Charts by plotly, which is unpacked only when the first of them comes into view: the page itself paints at once.

import { byId, el, set } from "./dom.js";

const makers = new Map(); // the id of a chart's place -> what makes its figure
const seen = new Set();
let unpacking = null;

/** Let make() fill a place whenever it is in view: {data, layout, label, click}. */
export function chart(id, make) {
  makers.set(id, make);
  watcher.observe(byId(id));
}

const watcher = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      watcher.unobserve(target);
      seen.add(target.id);
      draw(target.id);
    }
  },
  { rootMargin: "200px" },
);

/** Draw again whatever was drawn, for new data or new colours. */
export function redraw(ids = [...seen]) {
  for (const id of ids) if (seen.has(id)) draw(id);
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => redraw());

async function draw(id) {
  const place = byId(id);
  const Plotly = await plotly();
  const figure = makers.get(id)();
  place.classList.toggle("empty", !figure);
  if (!figure) return;
  set(place, { role: "img", "aria-label": figure.label });
  const first = !place.classList.contains("js-plotly-plot");
  await Plotly.react(place, figure.data, { ...style(place), ...figure.layout, ...axes(figure.layout) }, { displayModeBar: false, responsive: true });
  if (first && figure.click) place.on("plotly_click", (event) => figure.click(event.points[0]));
}

function plotly() {
  unpacking ??= unpack();
  return unpacking;
}

/** Unpack plotly's source from the page and run it as a script of the page. */
async function unpack() {
  const bytes = Uint8Array.from(atob(byId("plotly").textContent), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const source = await new Response(stream).text();
  document.head.append(el("script", {}, source));
  return window.Plotly;
}

/** A colour of the page's style sheet, as it is now. */
export const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

function style(place) {
  return {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: color("sans"), size: 12, color: color("soft") },
    margin: { l: 58, r: 12, t: 28, b: 46 },
    height: place.clientHeight,
    showlegend: true,
    legend: { orientation: "h", x: 1, xanchor: "right", y: 1.02, yanchor: "bottom" },
    hoverlabel: { bgcolor: color("card"), bordercolor: color("line"), font: { color: color("ink"), family: color("sans") } },
    hovermode: "closest",
    dragmode: false,
  };
}

/** A logarithmic axis with a tick for each power of ten, or for every few of them where there are many. */
export function logarithmic(rows) {
  const sizes = rows.flat().filter((value) => value > 0);
  const decades = Math.log10(Math.max(...sizes) / Math.min(...sizes));
  return { type: "log", exponentformat: "power", dtick: decades > 1 ? Math.ceil(decades / 9) : undefined };
}

function axes(layout) {
  const axis = { gridcolor: color("grid"), zeroline: false, linecolor: color("line"), tickcolor: color("line"), fixedrange: true, automargin: true };
  return { xaxis: { ...axis, ...layout.xaxis }, yaxis: { ...axis, ...layout.yaxis } };
}
