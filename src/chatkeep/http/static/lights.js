// Words that are marked in what is drawn, without touching an element.

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
export function rangesOf(words, element) {
  const ranges = [];
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  for (let node = words.length && walker.nextNode(); node; node = walker.nextNode()) {
    const content = node.data.toLowerCase();
    if (content.length !== node.data.length) continue; // lower case of some letters is longer
    for (const word of words) {
      for (let at = content.indexOf(word); at >= 0; at = content.indexOf(word, at + word.length)) {
        const range = new Range();
        range.setStart(node, at);
        range.setEnd(node, at + word.length);
        ranges.push(range);
      }
    }
  }
  return ranges;
}

/** Brings the first word for which one came to a message into sight, where the message is longer than the box. */
export function showWords(box, element, session, seq) {
  if (coming.session !== session || coming.seq !== seq) return;
  const ranges = rangesOf(coming.words, element);
  if (coming.isMarked) light(ranges);
  if (!ranges.length) return;
  const [{ top, bottom }, edge] = [ranges[0].getBoundingClientRect(), box.getBoundingClientRect()];
  if (top < edge.top || bottom > edge.bottom) box.scrollTop += top - edge.top - box.clientHeight / 3;
}
