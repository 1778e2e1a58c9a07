// Formulas in Markdown, told from prices, shell variables and words in brackets.

import { CJK } from "./letters.js";
import { indentOf, lineOf } from "./markdown-lines.js";

/** @typedef {import("../vendor/markdown-it.js").StateBlock} StateBlock */
/** @typedef {import("../vendor/markdown-it.js").StateInline} StateInline */
/** @typedef {import("../vendor/markdown-it.js").Token} Token */
/** @typedef {import("../vendor/markdown-it.js").Env} Env */
/** @typedef {import("./markdown-lines.js").BlockRule} BlockRule */
/** @typedef {import("./markdown-rules.js").InlineRule} InlineRule */

const FORMULA_CHARS_MAX = 4000; // a formula is looked for no further, so that an open dollar sign costs little

/** @typedef {[open: string, close: string, isDisplay: boolean]} Delimiter */
/** @type {Delimiter[]} */
const DELIMITERS = [
  ["$$", "$$", true],
  ["\\[", "\\]", true],
  ["\\(", "\\)", false],
  ["$", "$", false],
];

/** @type {InlineRule} */
export function formula(state, silent) {
  const { src, pos, posMax } = state;
  if (src[pos] !== "$" && src[pos] !== "\\") return false;
  const [open, close, isDisplay] = DELIMITERS.find(([mark]) => src.startsWith(mark, pos)) ?? [];
  if (!open || !close) return false;
  const window = src.slice(pos + open.length, Math.min(posMax, pos + FORMULA_CHARS_MAX));
  const end = closing(window, close);
  const content = window.slice(0, end);
  if (end < 0) return false;
  if (open === "$" && !isBetweenDollars(src[pos - 1] ?? "", content, window[end + 1] ?? "")) return false;
  if (open === "\\[" && !/[\\=^_+<>/]/.test(content)) return false; // brackets that were kept from being a link
  if (open !== "$" && !isMath(content)) return false;
  const whole = open + content + close;
  if (!silent) pushFormula(state, isDisplay ? "formula_display" : "formula", content, whole);
  state.pos += whole.length;
  return true;
}

/** @type {(text: string, close: string) => number} */
function closing(text, close) {
  for (let at = text.indexOf(close); at >= 0; at = text.indexOf(close, at + 1)) {
    let slashes = 0;
    while (text[at - 1 - slashes] === "\\") slashes += 1;
    if (slashes % 2 === 0) return at;
  }
  return -1;
}

/**
 * Prices, shell variables and words are no formulas.
 * @param {string} before
 * @param {string} content
 * @param {string} after
 */
function isBetweenDollars(before, content, after) {
  if (!content || /^\s|\s$/.test(content) || /[A-Za-z0-9\\$]/.test(before) || /[A-Za-z0-9$]/.test(after)) return false;
  if (after === "{" || (after === "(" && /[:/.,;@=-]$/.test(content))) return false; // ${a}*${b}, $PATH:$(pwd)
  const isPrice = /^\d/.test(content) && /[A-Za-z]{3,}/.test(content) && !content.includes("\\");
  return !isPrice && isMath(content);
}

/**
 * Tells a formula from words in brackets.
 * @type {(content: string) => boolean}
 */
function isMath(content) {
  if (!content.trim()) return false;
  if (content.includes("\\")) return true;
  return !CJK.test(content) && !/[A-Za-z]{2,}[ ,;]+[A-Za-z]{2,}/.test(content) && /[A-Za-z0-9α-ωΑ-Ω=+<>^_|-]/.test(content);
}

/** @type {(state: StateInline | StateBlock, type: string, content: string, whole: string) => Token} */
function pushFormula(state, type, content, whole) {
  const token = state.push(type, "", 0);
  token.content = whole;
  token.meta = { formula: content };
  return token;
}

/**
 * A formula on lines of its own: between double dollars, brackets, or as an environment.
 * @type {BlockRule}
 */
export function formulaBlock(state, startLine, endLine, silent) {
  if (indentOf(state, startLine) >= 4) return false;
  const first = lineOf(state, startLine).trimEnd();
  const environment = /^\\begin\{([A-Za-z]{1,20}\*?)\}/.exec(first)?.[1];
  const [open, close] = environment ? ["", `\\end{${environment}}`] : DELIMITERS.slice(0, 2).find(([mark]) => first.startsWith(mark)) ?? [];
  if (open === undefined || close === undefined) return false;
  if (!isNear(state, startLine, close)) return false;
  for (let nth = startLine; nth < endLine && (nth === startLine || indentOf(state, nth) >= 0 || state.isEmpty(nth)); nth += 1) {
    const text = nth === startLine ? first.slice(open.length) : lineOf(state, nth).trimEnd();
    if (closing(text, close) < 0) continue;
    if (!text.endsWith(close) || closing(text, close) !== text.length - close.length) return false; // more follows: the line is a paragraph
    const whole = state.getLines(startLine, nth + 1, state.blkIndent, false).trim();
    const content = environment ? whole : whole.slice(open.length, -close.length);
    if (whole.length > FORMULA_CHARS_MAX || !isMath(content)) return false;
    if (!silent) {
      pushFormula(state, "formula_display", content, whole).map = [startLine, nth + 1];
      state.line = nth + 1;
    }
    return true;
  }
  return false;
}

/**
 * Returns whether a mark comes soon. The place is remembered, so that many open formulas cost as much as one.
 * @param {StateBlock} state
 * @param {number} line
 * @param {string} mark
 */
function isNear({ env, src, bMarks }, line, mark) {
  const found = placesIn(env);
  const begin = bMarks[line] ?? 0;
  let place = found.get(mark) ?? -1;
  if (place < begin) {
    const next = src.indexOf(mark, begin + 1);
    place = next < 0 ? Infinity : next;
    found.set(mark, place);
  }
  return place - begin <= FORMULA_CHARS_MAX;
}

/** @type {WeakMap<Env, Map<string, number>>} */
const placesOfMarks = new WeakMap();

/** @param {Env} env */
function placesIn(env) {
  const places = placesOfMarks.get(env) ?? new Map();
  placesOfMarks.set(env, places);
  return places;
}
