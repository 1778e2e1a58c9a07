// Which marks of emphasis open and close: as models mean them. The others multiply, stand for any name, or for nothing.

import { CJK, characterAt, characterBefore, codeOf, WORD } from "./letters.js";
import { isInPath } from "./markdown-paths.js";

const OTHER_LETTER = /[^\P{L}\p{sc=Latin}\p{sc=Greek}]/u; // those that no formula is written in
const LETTER = /[\p{L}\p{N}]/u;
const JOINING = /[./\\=@#$%&+)\]}]/; // a name goes on behind it: obj._x_, /tmp/_x_

/** @typedef {import("../vendor/markdown-it.js").MarkdownIt} MarkdownIt */
/** @typedef {{ mark: string, length: number, before: string, after: string, earlier: string, later: string }} Run marks of one kind, and two characters on each side */

/**
 * Marks beside Chinese, Japanese and Korean need no blanks.
 * @param {MarkdownIt["inline"]["State"]} State
 * @param {MarkdownIt["utils"]} utils
 */
export function stateOf(State, { isWhiteSpace, isMdAsciiPunct, isPunctChar }) {
  const isPunct = (/** @type {string} */ mark) => isMdAsciiPunct(codeOf(mark)) || isPunctChar(mark);
  return class extends State {
    /** The lengths of the runs of `_` so far that may open. */
    openers = new Set();

    /**
     * @param {number} start
     * @param {boolean} canSplitWord
     * @override
     */
    scanDelims(start, canSplitWord) {
      const found = super.scanDelims(start, canSplitWord);
      const { length } = found;
      const run = runAt(this.src, start, length);
      const { before, after } = run;
      const isAfter = start > 0 && !isWhiteSpace(codeOf(before));
      const isOpen = start + length < this.posMax && !isWhiteSpace(codeOf(after));
      const isBesideCjk = canSplitWord && (CJK.test(before) || CJK.test(after));
      const isJoined = canSplitWord && length > 1 && OTHER_LETTER.test(before); // as in и**(так)**
      const isStrong = canSplitWord && length > 1 && isPunct(before); // as in **Note:**text
      const isText = (run.mark === "~" && length > 2) || (before === "\\" && isInPath(this.src, start - 1));
      const can_close = !isText && (found.can_close || (isAfter && (isBesideCjk || isStrong))) && mayClose(run) && isOpened(run, this.openers);
      const can_open = !isText && (found.can_open || (isOpen && (isBesideCjk || isJoined))) && mayOpen(run);
      if (can_open && run.mark === "_") this.openers.add(length);
      return { can_open, can_close, length };
    }
  };
}

/** @type {(src: string, start: number, length: number) => Run} */
function runAt(src, start, length) {
  const [before, after] = [characterBefore(src, start), characterAt(src, start + length)];
  const [earlier, later] = [src[start - 1 - before.length] ?? " ", src[start + length + after.length] ?? " "];
  return { mark: src[start] ?? "", length, before, after, earlier, later };
}

/** @param {Run} run */
function mayOpen(run) {
  const { mark, length, before, after, earlier } = run;
  if (isMultiplying(run) || isForAny(run) || (length === 1 && after === "/") || /[)\]},;]/.test(after)) return false; // f(*, _), t.*; and so on
  if (mark === "_" && (JOINING.test(before) || (before === "*" && earlier === "/"))) return false;
  if (before === "/") return length > 1 && earlier === "*" && LETTER.test(after); // **a**/**b**, but src/**/x
  return !(length === 1 && WORD.test(before) && WORD.test(after));
}

/**
 * Returns whether a run has a run of its own length before it: not in `_private, trailing__`, where both are of names.
 * @param {Run} run
 * @param {Set<number>} openers
 */
function isOpened({ mark, length }, openers) {
  return mark !== "_" || length > 2 || openers.has(length) || openers.has(3);
}

/** @param {Run} run */
function mayClose(run) {
  const { length, before, after } = run;
  if (/[([{]/.test(before) || isMultiplying(run) || isForAny(run)) return false;
  return !(before === "/" && (length === 1 || after === "/")); // src/*.ts, src/**/x, /* a comment
}

/**
 * Returns whether a mark is a product or power: 2*3, 2**8, (a)*(b), x[i]*y, ${a}*${b}.
 * @param {Run} run
 */
function isMultiplying({ mark, length, before, after }) {
  if (mark !== "*") return false;
  if (WORD.test(before) && WORD.test(after)) return /\d/.test(before + after);
  return /[)\]}]/.test(before) && (/[([{$]/.test(after) || (length === 1 && WORD.test(after)));
}

/**
 * Returns whether a mark stands for any name, or for itself: *.py, ^.*x, "*", the end of a comment.
 * @param {Run} run
 */
function isForAny({ length, before, after, earlier, later }) {
  if (before === after && /["'`|]/.test(before)) return true;
  if (length > 1) return false;
  return (after === "." && !LETTER.test(before) && /[\w{*[]/.test(later)) || (before === "." && (after === "$" || /[\s^([/|]/.test(earlier)));
}
