// Words that are marked in what is drawn, without touching an element.

const NEAR_CHARS = 140; // as an excerpt has room for behind its first hit
const WORDS_MAX = 20;
const PLACES_MAX = 3_000; // more marks than anybody reads; each is laid out anew whenever something moves
const CHARS_MAX = 4_000_000; // of text that is looked through

let coming = { words: [] };

/** Tells for which words one comes to a message, and whether they are to be marked there. */
export const comeFor = (session, seq, words, { isMarked = false } = {}) => (coming = { session, seq, words, isMarked });

/** Marks ranges, and nothing else. */
export function light(ranges) {
  if (!CSS.highlights) return;
  if (ranges.length) CSS.highlights.set("found", new Highlight(...ranges));
  else CSS.highlights.delete("found");
}

/** The ranges in an element where words stand, in lower case and in their order. */
export const rangesOf = (words, element) => placesOf(words, element).map(({ range }) => range);

/** Where words stand in an element: each word, its range, and how many characters are before it. At most so many. */
function placesOf(words, element) {
  const sought = [...new Set(words)].slice(0, WORDS_MAX);
  const places = [];
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  let before = 0;
  for (let node = sought.length && walker.nextNode(); node && before < CHARS_MAX; node = walker.nextNode()) {
    const content = node.data.toLowerCase();
    for (const word of content.length === node.data.length ? sought : []) { // lower case of some letters is longer
      for (let at = content.indexOf(word); at >= 0 && places.length < PLACES_MAX; at = content.indexOf(word, at + word.length)) {
        const range = new Range();
        range.setStart(node, at);
        range.setEnd(node, at + word.length);
        places.push({ word, range, at: before + at });
      }
    }
    before += content.length;
  }
  return places.sort((one, other) => one.at - other.at);
}

/** The first range from which on the most different words stand near. */
function best(places) {
  const near = new Map(); // how often each word stands between the range and what is near it
  let [most, chosen, next] = [0, null, 0];
  for (const { word, range, at } of places) {
    for (; next < places.length && places[next].at < at + NEAR_CHARS; next += 1) near.set(places[next].word, (near.get(places[next].word) ?? 0) + 1);
    if (near.size > most) [most, chosen] = [near.size, range];
    if (near.get(word) === 1) near.delete(word);
    else near.set(word, near.get(word) - 1);
  }
  return chosen;
}

/** Brings the words for which one came to a message into sight, where the message is longer than the box. */
export function showWords(box, element, session, seq) {
  if (coming.session !== session || coming.seq !== seq) return;
  const places = placesOf(coming.words, element);
  if (!places.length) return; // they may be in what is not drawn yet
  if (coming.isMarked) light(places.map(({ range }) => range));
  coming = { words: [] };
  const [{ top, bottom }, edge] = [best(places).getBoundingClientRect(), box.getBoundingClientRect()];
  if (top < edge.top || bottom > edge.bottom) box.scrollTop += top - edge.top - box.clientHeight / 3;
}
