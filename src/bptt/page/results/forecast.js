// A forecast beside the truth, for each series, target and horizon; its residuals, and the errors by horizon.

import { byId, el } from "../view/dom.js";
import { number } from "../view/numbers.js";
import { fixed } from "./axes.js";
import { Plot, shortTime } from "./plot.js";

const LEAST_STRETCH = 40; // rows that are shown at first
const MOST_STRETCH = 160;
const MOST_LAGS = 40; // of the residuals' autocorrelation
const MODELS = [["forward", null], ["purple", "6 3"], ["green", "2 3"], ["back", "8 3 2 3"], ["soft", "4 4"], ["ink", "1 3"]];

export function setUpForecast(report) {
  const [track, horizon] = [byId("track"), byId("horizon")];
  track.replaceChildren(...report.tracks.map(({ name }, i) => el("option", { value: i }, name)));
  const draw = () => drawTrack(report, report.tracks[track.value], horizon.selectedIndex);
  const chooseTrack = () => {
    const chosen = Math.max(0, horizon.selectedIndex);
    const { horizons } = report.tracks[track.value];
    horizon.replaceChildren(...horizons.map(({ ahead }) => el("option", { value: ahead }, `${ahead} ${ahead === 1 ? "row" : "rows"} ahead`)));
    horizon.selectedIndex = Math.min(chosen, horizons.length - 1);
    draw();
  };
  track.addEventListener("change", chooseTrack);
  horizon.addEventListener("change", draw);
  track.parentElement.hidden = report.tracks.length < 2;
  horizon.parentElement.hidden = report.tracks[0].horizons.length < 2;
  chooseTrack();
  if (report.errors.length > 1) drawHorizons(report);
}

function drawTrack(report, track, which) {
  new Plot(byId("forecast"), forecastFigure(report, track, track.horizons[which]));
  const { forecast } = track.horizons[which];
  const rows = Array.from({ length: track.future - track.tested }, (_, i) => track.tested + i);
  const residuals = rows.map((i) => (track.truth[i] === null || forecast[i] === null ? null : track.truth[i] - forecast[i]));
  const known = residuals.filter((value) => value !== null).length;
  for (const id of ["residuals", "autocorrelation"]) byId(id).closest("figure").hidden = known < 4;
  if (known < 4) return;
  new Plot(byId("residuals"), residualFigure(track, rows, residuals));
  new Plot(byId("autocorrelation"), autocorrelationFigure(residuals, known));
}

function forecastFigure({ coverage }, track, { ahead, forecast, width }) {
  const { time, truth, tested, future, decimals, unit } = track;
  const x = time.map((_, i) => i);
  const end = time.length - 1;
  const low = forecast.map((value, i) => (value === null || width[i] === null ? null : value - width[i]));
  const high = forecast.map((value, i) => (value === null || width[i] === null ? null : value + width[i]));
  const band = low.some((value) => value !== null) ? { name: `${fixed(100 * coverage, 0)} % interval`, low, high, color: "forward" } : null;
  const stretch = Math.min(MOST_STRETCH, Math.max(LEAST_STRETCH, Math.round(1.2 * (end - tested))));
  const shades = [{ name: "test set", from: tested - 0.5, to: future - 0.5, color: "back" }];
  const toCome = forecast.map((value, i) => (i >= future ? value : null));
  const future_ = toCome.some((value) => value !== null) ? [{ name: "not known yet", y: toCome, color: "forward", as: "dots" }] : [];
  const shownTo = toCome.findLastIndex((value) => value !== null);
  const last = shownTo < 0 ? future - 1 : shownTo;
  return {
    label: `Forecast and truth of ${track.name} over time, ${ahead} ${ahead === 1 ? "row" : "rows"} ahead.`,
    x: x.slice(0, last + 1),
    names: time,
    band,
    shades,
    lines: [{ name: "truth", y: truth, color: "soft", width: 2.4 }, { name: "forecast", y: forecast, color: "forward", width: 1.6 }, ...future_],
    view: [Math.max(0, last - stretch), last],
    yLabel: unit,
    say: (i) => `${shortTime(time[i])}: ${sayRow(i)}`,
  };

  function sayRow(i) {
    const said = [i < future ? `truth ${fixed(truth[i], decimals)}` : "not known yet"];
    if (forecast[i] !== null) said.push(`forecast ${fixed(forecast[i], decimals)}`);
    if (low[i] !== null) said.push(`interval ${fixed(low[i], decimals)} to ${fixed(high[i], decimals)}`);
    return said.join(", ");
  }
}

function residualFigure({ time, decimals, unit, name }, rows, residuals) {
  return {
    label: `Residuals of ${name} in the test set.`,
    x: rows,
    names: rows.map((i) => time[i]),
    lines: [{ y: residuals, color: "forward", width: 1.4 }],
    rules: [{ y: 0, color: "ink" }],
    view: rows.length > MOST_STRETCH ? [rows[0], rows.at(-1)] : undefined,
    yLabel: `truth − forecast, ${unit}`,
    say: (i) => `${shortTime(time[rows[i]])}: ${fixed(residuals[i], decimals)}`,
  };
}

function autocorrelationFigure(residuals, known) {
  const lags = Math.max(2, Math.min(MOST_LAGS, Math.floor(known / 3)));
  const x = Array.from({ length: lags }, (_, i) => i + 1);
  const y = x.map((lag) => autocorrelation(residuals, lag));
  const limit = 1.96 / Math.sqrt(known);
  const outside = y.filter((value) => Math.abs(value) > limit).length;
  return {
    label: `Autocorrelation of the residuals, lags 1 to ${lags}; ${outside} lie outside what chance explains.`,
    x,
    lines: [{ y, color: "forward", as: "bars" }],
    rules: [{ name: "95 % of independent residuals lie between", y: limit, color: "back" }, { y: -limit, color: "back" }, { y: 0, color: "ink" }],
    xLabel: "lag (rows)",
    say: (i) => `Lag ${x[i]}: ${fixed(y[i], 2)}${Math.abs(y[i]) > limit ? ", more than chance explains" : ""}`,
  };
}

/** The correlation of values with those a lag before, missing ones left out. */
function autocorrelation(values, lag) {
  const there = values.filter((value) => value !== null);
  const mean = there.reduce((a, b) => a + b, 0) / there.length;
  const product = (i) => (values[i] === null || values[i - lag] === null ? 0 : (values[i] - mean) * (values[i - lag] - mean));
  let sum = 0;
  for (let i = lag; i < values.length; i++) sum += product(i);
  return sum / there.reduce((all, value) => all + (value - mean) ** 2, 0) || 0;
}

/** The errors and the intervals by horizon, of one target at a time. */
function drawHorizons(report) {
  const targets = [...new Set(report.errors.map(({ target }) => target))];
  const chosen = byId("target");
  chosen.replaceChildren(...targets.map((name) => el("option", {}, name)));
  chosen.parentElement.hidden = targets.length < 2;
  const draw = () => {
    const errors = report.errors.filter(({ target }) => target === targets[chosen.selectedIndex]);
    byId("by-horizon").hidden = errors.length < 2;
    if (errors.length < 2) return;
    new Plot(byId("errors"), errorFigure(errors));
    new Plot(byId("held"), heldFigure(errors, report.coverage));
  };
  chosen.addEventListener("change", draw);
  draw();
}

function errorFigure(errors) {
  const models = Object.keys(errors[0].arv).filter((name) => errors.every(({ arv }) => name in arv));
  const lines = models.map((name, i) => ({ name, y: errors.map(({ arv }) => arv[name]), color: MODELS[i % 6][0], dash: MODELS[i % 6][1], width: i ? 1.5 : 2.4 }));
  return {
    label: "Error by horizon of the run and of simple models.",
    x: errors.map(({ ahead }) => ahead),
    lines,
    log: true,
    xLabel: "rows ahead",
    yLabel: "average relative variance",
    say: (i) => `${errors[i].ahead} ahead: ${lines.map(({ name, y }) => `${name} ${number(y[i], 3)}`).join(", ")}`,
  };
}

function heldFigure(errors, coverage) {
  const held = errors.map((one) => (one.held === null ? null : 100 * one.held));
  return {
    label: "How many true values the intervals held, by horizon.",
    x: errors.map(({ ahead }) => ahead),
    lines: [{ name: "held", y: held, color: "forward" }],
    rules: [{ name: "promised", y: 100 * coverage, color: "back" }],
    include: [50, 100],
    xLabel: "rows ahead",
    yLabel: "% of true values within the interval",
    say: (i) => `${errors[i].ahead} ahead: ${fixed(held[i], 0)} % held, ${fixed(100 * coverage, 0)} % promised`,
  };
}
