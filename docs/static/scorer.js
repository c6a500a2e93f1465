// The order of search results: first the pages whose titles hold the most words of the query; a function's own entry
// first where its name was typed.
const stem = (word) => word.replace(/iz/g, "is").replace(/(ings?|ed|es?|s)$/, "");
const wordsOf = (text) => text.toLowerCase().split(/[^\p{L}\p{N}_]+/u).filter((word) => word.length > 1);
const long = new Set(["changelog", "reference/command-line"]); // they hold most words

var Scorer = {
  score: ([page, title, , , score, , kind]) => {
    const query = new URLSearchParams(window.location.search).get("q") ?? "";
    const words = wordsOf(query);
    if (kind === "object") return words.length === 1 || /[._]/.test(query) ? score + 10 : score / 10;
    const titles = wordsOf(title).map(stem);
    const found = words.map(stem).filter((word) => titles.some((other) => other.startsWith(word)));
    return long.has(page) ? score / 10 - 15 : score + 10 * found.length;
  },

  // the rest as Sphinx has it
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};

// Words that stand on no page are left out. If few pages have all the others, the pages that lack one are found too.
const pagesWithAll = Search.performTermsSearch; // the theme loads Search before this file
Search.performTermsSearch = (words, excluded) => {
  const terms = [Search._index.terms, Search._index.titleterms].flatMap(Object.keys);
  const stands = (word) => terms.some((term) => (word.length > 2 ? term.includes(word) : term === word));
  const known = [...words].filter(stands);
  const pagesWith = (some) => pagesWithAll(new Set(some), excluded);
  const all = pagesWith(known);
  if (all.length > 3) return all;
  const without = known.flatMap((left) => pagesWith(known.filter((word) => word !== left)));
  for (const found of without) found[4] -= 25;
  return [...new Map([...without, ...all].map((found) => [found[0], found])).values()];
};
