// The beginning of a long text. It ends between blocks: a piece of code, a table or a formula is shown whole or not.

import { wholesIn } from "./markdown.js";

const FOLD_CHARS = 3000;
const FOLD_LINES = 40;
const LEAST_CHARS = 300; // a fold that shows less shows the block behind it too
const REST_CHARS = 1200; // a rest with less than this, in few lines, is not worth a button
const REST_LINES = 16;
const LOOKED_AT = 4 * FOLD_CHARS; // a block may reach so far behind the fold

/**
 * Returns the beginning of a long text, cut where a block or at least a line ends; the whole of one with a short rest.
 * @param {string} text
 */
export function folded(text) {
  const lines = text.slice(0, LOOKED_AT).split("\n");
  if (text.length <= FOLD_CHARS && lines.length <= FOLD_LINES) return text;
  if (text.length > LOOKED_AT) lines.pop(); // it may be a piece of a line
  const shown = beginOfText(text, lines);
  const rest = text.slice(shown.length, shown.length + REST_CHARS + 1);
  return rest.length <= REST_CHARS && rest.trim().split("\n").length <= REST_LINES ? text : shown;
}

/**
 * @param {string} text
 * @param {string[]} lines of its beginning
 */
function beginOfText(text, lines) {
  const wholes = wholesIn(lines.join("\n"));
  const wholeAt = (/** @type {number} */ line) => wholes.find(([begin, end]) => begin < line && line < end);
  const ends = endsOf(lines); // where each line ends
  const fitting = ends.filter((end, nth) => nth < FOLD_LINES && end <= FOLD_CHARS).length;
  let cut = fitting;
  while (cut > 0 && wholeAt(cut)) cut -= 1;
  const behind = wholeAt(fitting)?.[1];
  const isWhole = behind !== undefined && (text.length <= LOOKED_AT || behind < lines.length);
  if ((ends[cut - 1] ?? 0) < LEAST_CHARS && isWhole) cut = behind;
  else if (cut === 0) cut = fitting;
  const [begin, end] = [ends[cut - 1] ?? 0, ends[fitting] ?? text.length];
  return begin < LEAST_CHARS && end > FOLD_CHARS ? firstWords(text) : text.slice(0, begin);
}

/** @param {string[]} lines */
function endsOf(lines) {
  let end = -1;
  return lines.map((line) => (end += line.length + 1));
}

/**
 * Returns the first words of a text whose line is very long.
 * @param {string} text
 */
function firstWords(text) {
  const begin = text.slice(0, FOLD_CHARS);
  const blank = begin.lastIndexOf(" ");
  return blank > FOLD_CHARS / 2 ? begin.slice(0, blank) : begin.replace(/[\uD800-\uDBFF]$/, "");
}
