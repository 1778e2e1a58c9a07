// How models write Markdown, as rules of the parser: what is no mark of it stays in the text as it was written.

import { WORD } from "./letters.js";
import { fence, keepDepth, NOTE, NOTE_CHARS_MAX, noteBlock, tightHeading } from "./markdown-blocks.js";
import { stateOf } from "./markdown-emphasis.js";
import { formula, formulaBlock } from "./markdown-formulas.js";
import { isInPath } from "./markdown-paths.js";
import { boundedTable, cells } from "./markdown-tables.js";

const NAME_CHARS_MAX = 60;
const ESCAPED = "`*_[]|<>~$"; // marks wherever they stand
const ESCAPED_AT_BEGIN = "#+-.)"; // marks where a line begins, the last two behind a number
const BEGIN_CHARS_MAX = 24; // blanks and a number

/** @typedef {import("../vendor/markdown-it.js").MarkdownIt} MarkdownIt */
/** @typedef {import("../vendor/markdown-it.js").StateInline} StateInline */
/** @typedef {import("../vendor/markdown-it.js").StateCore} StateCore */
/** @typedef {import("./markdown-blocks.js").Env} Env */
/** @typedef {(state: StateInline, silent: boolean) => boolean} InlineRule */

/**
 * Teaches a parser all of it.
 * @param {MarkdownIt} parser
 */
export function taught(parser) {
  const { block, inline, core } = parser;
  parser.disable(["entity", "html_block", "html_inline"]); // text here
  inline.State = stateOf(inline.State, parser.utils);
  inline.ruler.at("escape", escape);
  inline.ruler.at("newline", newline);
  inline.ruler.before("escape", "formula", formula);
  inline.ruler.before("emphasis", "name", name);
  inline.ruler.before("link", "note", note);
  block.ruler.at("fence", fence, { alt: ["paragraph", "reference", "blockquote", "list"] });
  block.ruler.before("fence", "formula", formulaBlock, { alt: ["paragraph", "reference", "blockquote", "list"] });
  block.ruler.before("reference", "note", noteBlock, { alt: ["paragraph", "reference"] });
  block.ruler.before("heading", "tightHeading", tightHeading, { alt: ["paragraph", "reference", "blockquote"] });
  const [table] = block.ruler.getRules("");
  if (table) block.ruler.at("table", boundedTable(table), { alt: ["paragraph", "reference"] });
  keepDepth(block, parser.options.maxNesting);
  core.ruler.before("inline", "cells", cells);
  core.ruler.after("inline", "tasks", tasks);
  core.ruler.after("inline", "breaks", breaks);
  return parser;
}

// Names

/**
 * Names like __init__ are no emphasis.
 * @type {InlineRule}
 */
function name(state, silent) {
  const { src, pos } = state;
  if (src[pos] !== "_" || src[pos + 1] !== "_" || WORD.test(src[pos - 1] ?? "")) return false;
  const found = /^__[A-Za-z][A-Za-z0-9]*(?:_[A-Za-z0-9]+)*__(?![A-Za-z0-9_])/.exec(src.slice(pos, pos + NAME_CHARS_MAX))?.[0];
  if (!found || pos + found.length > state.posMax) return false;
  if (!silent) state.pending += found;
  state.pos += found.length;
  return true;
}

// Backslashes and breaks

/**
 * A backslash goes only where it keeps a mark from being one.
 * @type {InlineRule}
 */
function escape(state, silent) {
  const { src, pos, posMax } = state;
  const next = src[pos + 1] ?? "";
  if (src[pos] !== "\\" || pos + 1 >= posMax) return false;
  const isEscape = isMark(src, pos + 1) && !isInPath(src, pos);
  if (!isEscape && next !== "\\") return false;
  if (!silent) {
    const token = state.push("text_special", "", 0);
    token.content = isEscape ? next : "\\\\";
    token.markup = `\\${next}`;
    token.info = "escape";
  }
  state.pos += 2;
  return true;
}

/**
 * Returns whether a character would be a mark, had it no backslash before it.
 * @param {string} src
 * @param {number} pos
 */
function isMark(src, pos) {
  const mark = src[pos] ?? "";
  if (mark === "!") return src[pos + 1] === "[";
  if (!ESCAPED_AT_BEGIN.includes(mark)) return ESCAPED.includes(mark);
  const before = src.slice(Math.max(0, pos - 1 - BEGIN_CHARS_MAX), pos - 1);
  const begin = before.lastIndexOf("\n") + 1;
  if (!begin && pos - 1 > BEGIN_CHARS_MAX) return false;
  return (".)".includes(mark) ? /^\s*\d+$/ : /^\s*$/).test(before.slice(begin));
}

/**
 * A line ends where it was ended; the blanks that the next one begins with stay.
 * @type {InlineRule}
 */
function newline(state, silent) {
  if (state.src[state.pos] !== "\n") return false;
  if (!silent) state.push("hardbreak", "br", 0);
  state.pos += 1;
  return true;
}

// Notes and tasks


/**
 * A mark of a note, where that note is written somewhere.
 * @type {InlineRule}
 */
function note(state, silent) {
  const { src, pos } = state;
  if (src[pos] !== "[" || src[pos + 1] !== "^") return false;
  const [mark, id] = NOTE.exec(src.slice(pos, pos + NOTE_CHARS_MAX)) ?? [];
  if (!mark || !id || !(/** @type {Env} */ (state.env).notes?.has(id))) return false;
  if (!silent) state.push("note", "", 0).content = id;
  state.pos += mark.length;
  return true;
}

/**
 * Items that begin with a box have no bullet; items of a list that counts have the numbers they were given.
 * @param {StateCore} state
 */
function tasks({ tokens }) {
  /** @type {(number | null)[]} */
  const lists = []; // the last number in each that is open
  for (const [nth, token] of tokens.entries()) {
    if (token.type.endsWith("_list_open")) lists.push(null);
    else if (token.type.endsWith("_list_close")) lists.pop();
    if (token.type !== "list_item_open") continue;
    const [number, before] = [Number(token.info), lists.at(-1) ?? null];
    if (token.info && (before === null || number > before)) token.attrSet("value", token.info);
    if (token.info && token.markup === ")") token.attrSet("class", "bracketed");
    lists[lists.length - 1] = number || before;
    const inside = tokens[nth + 2];
    const first = inside?.type === "inline" ? inside.children?.[0] : null;
    const box = first?.type === "text" ? /^\[([ xX])\](?=\s)/.exec(first.content) : null;
    if (!first || !box) continue;
    first.content = (box[1] === " " ? "☐" : "☑") + first.content.slice(3);
    token.attrJoin("class", "task");
  }
}

/**
 * In a cell of a table, where no line can end, <br> ends one.
 * @param {StateCore} state
 */
function breaks({ tokens, Token }) {
  for (const [nth, token] of tokens.entries()) {
    const isCell = token.type === "inline" && /^t[dh]_open$/.test(tokens[nth - 1]?.type ?? "");
    if (!isCell || !/<br\s*\/?>/i.test(token.content)) continue;
    token.children = (token.children ?? []).flatMap((child) => {
      if (child.type !== "text") return [child];
      return child.content.split(/<br\s{0,9}\/?>/i).flatMap((text, place) => {
        const piece = new Token("text", "", 0);
        piece.content = text;
        return place ? [new Token("hardbreak", "br", 0), piece] : [piece];
      });
    });
  }
}
