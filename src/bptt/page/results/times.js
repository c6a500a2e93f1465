// Labels at round times: the first row of every minute, hour, day, month or year, whichever stand far enough apart.

const FORMS = [
  "(?<Y>\\d{4})([-/.])(?<m>\\d\\d?)(?:\\2(?<d>\\d\\d?))?",
  "(?<Y>\\d{4})[- ]?Q(?<q>[1-4])",
  "(?<d>\\d\\d?)([/.])(?<m>\\d\\d?)\\2(?<Y>\\d{4})",
  "(?<m>\\d\\d?)/(?<d>\\d\\d?)/(?<Y>\\d{4})",
  "(?:(?<d>\\d\\d?)[- ])?(?<name>[A-Za-z]{3,9})[- ](?<Y>\\d{4})",
];
const DATES = FORMS.map((date) => new RegExp(`^${date}(?:[T ](?<H>\\d\\d):(?<M>\\d\\d)(?::(?<S>\\d\\d))?)?`));
const MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const PLAIN_NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)$/;
const A_DAY = 86400; // seconds
const MONDAY = 4; // days after 1970-01-01
const APART = 20; // pixels between two labels

/** The moments of an axis from their texts, and the units by which it may be labelled; null where they are not read. */
export function timesOf(texts) {
  if (texts.length < 2) return null;
  if (texts.every((text) => PLAIN_NUMBER.test(text))) {
    const moments = texts.map(Number);
    return { texts, moments, units: unitsOfNumbers(moments) };
  }
  const forms = DATES.filter((date) => texts.every((text) => date.test(text)));
  const read = forms.map((form) => texts.map((text) => secondsOf(form.exec(text).groups))).filter((moments) => moments.every(Number.isFinite));
  const moments = read.find((one) => one.every((moment, i) => !i || moment > one[i - 1])) ?? read[0]; // 02/03/2024 by its order
  return moments ? { texts, moments, units: UNITS_OF_DATES } : null;
}

/** NaN where it is no date. */
function secondsOf({ Y, q, name, m = q ? 3 * q - 2 : MONTHS.indexOf(name?.slice(0, 3).toLowerCase()) + 1, d = 1, H = 0, M = 0, S = 0 }) {
  return m >= 1 && m <= 12 && d >= 1 && d <= 31 ? Date.UTC(Y, m - 1, d, H, M, S) / 1000 : NaN;
}

/** Labels of the smallest unit of which all fit: [{i, text}]; null where fewer than two do.
 *
 * first, stop: the rows in view. X(i): where a row stands, between left and right. letter: the width of one.
 */
export function roundTicks({ texts, moments, units }, { first, stop, X, left, right, letter }) {
  for (const { index, say } of units) {
    const found = [];
    let end = -Infinity;
    let isCrowded = false;
    for (let i = first; i < stop && !isCrowded; i++) {
      const before = i ? moments[i - 1] : 2 * moments[0] - moments[1];
      if (index(moments[i]) === index(before)) continue;
      const text = say(texts[i], texts[found.at(-1)?.i]);
      const [from, to] = [-1, 1].map((side) => X(i) + (side * letter * text.length) / 2);
      if (from < left || to > right) continue;
      isCrowded = from < end + APART;
      end = to;
      found.push({ i, text });
    }
    if (!isCrowded) return found.length > 1 ? found : null;
  }
  return null;
}

const floorBy = (size, start = 0) => (moment) => Math.floor((moment - start) / size);

const monthsBy = (count) => (moment) => {
  const date = new Date(1000 * moment);
  return Math.floor((12 * date.getUTCFullYear() + date.getUTCMonth()) / count);
};

const dateOf = (text) => text.replace(/(?<=\d)[T ]\d\d(:.*)?$/, "");
const clockOf = (text) => text.match(/[T ](\d\d:\d\d(:(?!00)\d\d)?)/)?.[1] ?? "";
const monthOf = (text) => text.match(/^\d{4}.\d+/)?.[0] ?? dateOf(text);
const yearOf = (text) => text.match(/^\d{4}/)?.[0] ?? dateOf(text);

/** A date, after another one of its year without the year. */
function dateAfter(text, before) {
  const year = text.match(/^(\d{4}([-/.]))\d\d?\2/)?.[1];
  return before && year && before.startsWith(year) ? dateOf(text).slice(year.length) : dateOf(text);
}

/** The time of day; the date where the label before has another one, and both in the first label. */
function clockOrDate(text, before) {
  if (before === undefined) return `${dateOf(text)} ${clockOf(text).replace(/^00:00$/, "")}`.trim();
  return dateOf(before) === dateOf(text) ? clockOf(text) : dateAfter(text, before);
}

const saidBy = (say, ...indices) => indices.map((index) => ({ index, say }));

const UNITS_OF_DATES = [
  ...saidBy(clockOrDate, ...[1, 5, 15, 30, 60, 300, 900, 1800, 3600, 10800, 21600, 43200].map((size) => floorBy(size))),
  ...saidBy(dateAfter, floorBy(A_DAY), floorBy(2 * A_DAY), ...[7, 14].map((days) => floorBy(days * A_DAY, MONDAY * A_DAY))),
  ...saidBy(monthOf, ...[1, 3, 6].map(monthsBy)),
  ...saidBy(yearOf, ...[1, 2, 5, 10, 20, 50, 100, 200, 500].map((years) => monthsBy(12 * years))),
];

/** 1, 2 and 5 times the powers of ten, from the least distance of two numbers to their range. */
function unitsOfNumbers(moments) {
  const least = moments.slice(1).reduce((size, moment, i) => Math.min(size, moment - moments[i] || size), Infinity);
  const [first, last] = [least, moments.at(-1) - moments[0]].map((size) => Math.floor(Math.log10(size)));
  const sizes = Array.from({ length: Math.max(0, last - first + 1) }, (_, n) => [1, 2, 5].map((by) => by * 10 ** (first + n)));
  return saidBy((text) => text, ...sizes.flat().map((size) => (moment) => Math.floor(moment / size + 1e-9)));
}
