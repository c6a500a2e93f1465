// The order of search results: first the pages whose titles hold the most words of the query; a function's own entry
// first where its name was typed.
const stem = (word) => word.replace(/iz/g, "is").replace(/(ings?|ed|es?|s)$/, "");
const wordsOf = (text) => text.toLowerCase().split(/[^\p{L}\p{N}_]+/u).filter((word) => word.length > 1);

var Scorer = {
  score: ([page, title, , , score, , kind]) => {
    const query = new URLSearchParams(window.location.search).get("q") ?? "";
    const words = wordsOf(query);
    if (kind === "object") return words.length === 1 || /[._]/.test(query) ? score + 10 : score / 10;
    const titles = wordsOf(title).map(stem);
    const found = words.map(stem).filter((word) => titles.some((other) => other.startsWith(word)));
    return page === "changelog" ? score / 10 : score + 10 * found.length;
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
