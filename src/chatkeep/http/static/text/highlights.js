// Words that are marked in what is drawn, without touching an element.

const NEAR_CHARS = 140; // as an excerpt has room for behind its first hit
const WORDS_MAX = 20;
const SPOTS_MAX = 3_000; // more marks than anybody reads; each is laid out anew whenever something moves
const CHARS_MAX = 4_000_000; // of text that is looked through

/** @typedef {{ word: string, range: Range, at: number }} Spot where a word stands; `at` counts characters before it */

/**
 * Marks ranges, and nothing else.
 * @param {Range[]} ranges
 */
export function highlight(ranges) {
  if (!CSS.highlights) return;
  if (ranges.length) CSS.highlights.set("found", new Highlight(...ranges));
  else CSS.highlights.delete("found");
}

/**
 * Returns where words stand in an element, in their order; at most so many. Words are in lower case.
 * @param {string[]} words
 * @param {Element} element
 */
export function spotsOf(words, element) {
  const sought = [...new Set(words)].slice(0, WORDS_MAX);
  /** @type {Spot[]} */
  const spots = [];
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  let before = 0;
  if (!sought.length) return spots;
  for (let node = walker.nextNode(); node && before < CHARS_MAX; node = walker.nextNode()) {
    const { data } = /** @type {Text} */ (node);
    const content = data.toLowerCase();
    for (const word of content.length === data.length ? sought : []) { // lower case of some letters is longer
      for (let at = content.indexOf(word); at >= 0 && spots.length < SPOTS_MAX; at = content.indexOf(word, at + word.length)) {
        const range = new Range();
        range.setStart(node, at);
        range.setEnd(node, at + word.length);
        spots.push({ word, range, at: before + at });
      }
    }
    before += content.length;
  }
  return spots.sort((one, other) => one.at - other.at);
}

/**
 * Returns the first range from which on the most different words stand near.
 * @param {Spot[]} spots
 */
export function bestOf(spots) {
  const near = new Map(); // how often each word stands near the spot, from it on
  let [most, next] = [0, 0];
  let chosen = null;
  for (const { word, range, at } of spots) {
    for (let ahead = spots[next]; ahead && ahead.at < at + NEAR_CHARS; ahead = spots[next]) {
      near.set(ahead.word, (near.get(ahead.word) ?? 0) + 1);
      next += 1;
    }
    if (near.size > most) [most, chosen] = [near.size, range];
    if (near.get(word) === 1) near.delete(word);
    else near.set(word, near.get(word) - 1);
  }
  return chosen;
}
