// How models write Markdown, as rules of the parser: what is no mark of it stays in the text as it was written.

const FORMULA_CHARS_MAX = 4000; // a formula is looked for no further, so that an open dollar sign costs little
const CELLS_MAX = 2_000; // a table with more is text: short rows are filled up to the width of the head
const NAME_CHARS_MAX = 60;
const ESCAPED = "`*_[]|<>~$"; // marks wherever they stand
const ESCAPED_AT_BEGIN = "#+-.)"; // marks where a line begins, the last two behind a number
const BEGIN_CHARS_MAX = 24; // blanks and a number
const PATH_CHARS_MAX = 260;
const PATH = /(?<![A-Za-z0-9])(?:[A-Za-z]:|%\w+%|\$env:\w+|~|\.\.?|\\\\[\w.$-]+)(?:\\|$)/; // of Windows: its drive, variable or server
const CJK = /[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Hangul}\p{sc=Bopomofo}\u3000-\u303f\u30fb\u30fc\uff00-\uffef]/u;
const WORD = /[A-Za-z0-9]/;

/** @typedef {import("../vendor/markdown-it.js").MarkdownIt} MarkdownIt */
/** @typedef {import("../vendor/markdown-it.js").StateBlock} StateBlock */
/** @typedef {import("../vendor/markdown-it.js").StateInline} StateInline */
/** @typedef {import("../vendor/markdown-it.js").StateCore} StateCore */
/** @typedef {import("../vendor/markdown-it.js").Token} Token */
/** @typedef {import("../vendor/markdown-it.js").Env & { lines?: string[], notes?: Set<string> }} Env `lines` are those of the whole text */
/** @typedef {(state: StateBlock, startLine: number, endLine: number, silent: boolean) => boolean} BlockRule */
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

// Lines of a block

/**
 * Returns where a line begins, behind the blanks that set it in.
 * @param {StateBlock} state
 * @param {number} line
 */
const beginOf = ({ bMarks, tShift }, line) => (bMarks[line] ?? 0) + (tShift[line] ?? 0);

/**
 * Returns how deep a line is set in, within its block.
 * @param {StateBlock} state
 * @param {number} line
 */
const indentOf = ({ sCount, blkIndent }, line) => (sCount[line] ?? 0) - blkIndent;

/**
 * Returns a line, without the blanks that set it in.
 * @param {StateBlock} state
 * @param {number} line
 */
const lineOf = (state, line) => state.src.slice(beginOf(state, line), state.eMarks[line]);

// Emphasis

/**
 * Marks beside Chinese, Japanese and Korean need no blanks; those between digits multiply.
 * @param {MarkdownIt["inline"]["State"]} State
 * @param {MarkdownIt["utils"]} utils
 */
function stateOf(State, { isWhiteSpace, isMdAsciiPunct, isPunctChar }) {
  return class extends State {
    /**
     * @param {number} start
     * @param {boolean} canSplitWord
     * @override
     */
    scanDelims(start, canSplitWord) {
      const found = super.scanDelims(start, canSplitWord);
      if (!canSplitWord) return found;
      const before = characterBefore(this.src, start);
      const after = characterAt(this.src, start + found.length);
      const isOpen = start + found.length < this.posMax && !isWhiteSpace(codeOf(after));
      const isAfter = start > 0 && !isWhiteSpace(codeOf(before));
      const isBesideCjk = CJK.test(before) || CJK.test(after);
      const isPunct = (/** @type {string} */ mark) => isMdAsciiPunct(codeOf(mark)) || isPunctChar(mark);
      const isStrong = found.length > 1 && isPunct(before); // as in **Note:**text
      const canOpen = found.can_open || (isOpen && isBesideCjk);
      const canClose = found.can_close || (isAfter && (isBesideCjk || isStrong));
      const isInWord = WORD.test(before) && WORD.test(after);
      const isProduct = isInWord && /\d/.test(before + after); // 2*3*4, 2**8
      const isGlob = before === "/" && (found.length === 1 || after === "/"); // src/*.ts, src/**/x, /* a comment
      const isComment = found.length === 1 && after === "/"; // and its end: */
      return {
        can_open: canOpen && !isProduct && !isComment && before !== "/" && !(isInWord && found.length === 1),
        can_close: canClose && !isProduct && !isGlob,
        length: found.length,
      };
    }
  };
}

/** @param {string} character */
const codeOf = (character) => character.codePointAt(0) ?? 32;

/** @type {(text: string, at: number) => string} */
const characterAt = (text, at) => String.fromCodePoint(text.codePointAt(at) ?? 32);

/**
 * @param {string} text
 * @param {number} at
 */
function characterBefore(text, at) {
  const [last, high] = [text[at - 1] ?? " ", text[at - 2] ?? ""];
  return /[\uDC00-\uDFFF]/.test(last) && /[\uD800-\uDBFF]/.test(high) ? high + last : last;
}

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
 * Returns whether a backslash parts the names of a path.
 * @param {string} src
 * @param {number} pos
 */
function isInPath(src, pos) {
  const before = src.slice(Math.max(0, pos - PATH_CHARS_MAX), pos);
  return PATH.test(before.slice(before.search(/\S*$/)));
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

// Formulas

/** @typedef {[open: string, close: string, isDisplay: boolean]} Delimiter */
/** @type {Delimiter[]} */
const DELIMITERS = [
  ["$$", "$$", true],
  ["\\[", "\\]", true],
  ["\\(", "\\)", false],
  ["$", "$", false],
];

/** @type {InlineRule} */
function formula(state, silent) {
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
function formulaBlock(state, startLine, endLine, silent) {
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

// Blocks

/**
 * Refuses tables with too many cells: they are plain text.
 * @param {BlockRule} table
 * @returns {BlockRule}
 */
function boundedTable(table) {
  return (state, startLine, endLine, silent) => {
    if (!table(state, startLine, Math.min(endLine, startLine + 2), true)) return false;
    if (silent) return true;
    const marks = state.src.slice(state.bMarks[startLine + 1], state.eMarks[startLine + 1]);
    const rowsMax = CELLS_MAX / (marks.split("|").length - 1 || 1);
    let line = startLine + 2;
    while (line < endLine && !state.isEmpty(line) && line - startLine <= rowsMax) line += 1;
    if (line - startLine <= rowsMax) return table(state, startLine, endLine, false);
    while (line < endLine && !state.isEmpty(line) && indentOf(state, line) >= 0) line += 1;
    state.push("plain", "", 0).map = [startLine, line];
    state.line = line;
    return true;
  };
}

/**
 * A fence. One of Markdown holds others: a fence with a language opens one inside, the next bare one closes that.
 * @type {BlockRule}
 */
function fence(state, startLine, endLine, silent) {
  const [whole = "", mark] = /^(`{3,}|~{3,})[^\n]*/.exec(lineOf(state, startLine)) ?? [];
  if (!mark || indentOf(state, startLine) >= 4) return false;
  const info = whole.slice(mark.length).trim();
  if (mark[0] === "`" && info.includes("`")) return false;
  if (silent) return true;
  const closed = fenceEnd(state, startLine, endLine, mark, /^(?:markdown|md|mdx)\b/i.test(info));
  const token = state.push("fence", "code", 0);
  token.info = info;
  token.content = state.getLines(startLine + 1, closed.line, state.sCount[startLine] ?? 0, true);
  token.markup = mark;
  state.line = closed.line + (closed.isMarked ? 1 : 0);
  token.map = [startLine, state.line];
  return true;
}

/**
 * Returns the line where a fence ends, and whether it stands there. `isNest` says that it may hold others.
 * @param {StateBlock} state
 * @param {number} startLine
 * @param {number} endLine
 * @param {string} mark
 * @param {boolean} isNest
 */
function fenceEnd(state, startLine, endLine, mark, isNest) {
  const same = new RegExp(`^\\${mark[0]}{${mark.length},}[ \\t]*(\\S?)`);
  /** @type {number | null} */
  let bare = null;
  let [depth, line] = [0, startLine + 1];
  for (; line < endLine; line += 1) {
    const text = lineOf(state, line);
    if (text && indentOf(state, line) < 0) break;
    if (text[0] !== mark[0] || indentOf(state, line) >= 4) continue;
    const found = same.exec(text);
    if (!found) continue;
    if (found[1]) depth += 1;
    else if (depth > 0 && isNest) [depth, bare] = [depth - 1, bare ?? line];
    else return { line, isMarked: true };
  }
  return bare === null ? { line, isMarked: false } : { line: bare, isMarked: true };
}

/**
 * A heading without the blank after its marks: ##Like this. One mark alone begins a #tag, and ##this## is no heading.
 * @type {BlockRule}
 */
function tightHeading(state, startLine, _, silent) {
  if (state.src[beginOf(state, startLine)] !== "#" || indentOf(state, startLine) >= 4) return false;
  const [, marks, text = ""] = /^(#{2,6})((?:\p{L}|\p{N}|\*\*).*[^#\s])\s*$/u.exec(lineOf(state, startLine)) ?? [];
  if (!marks) return false;
  if (silent) return true;
  state.line = startLine + 1;
  const open = state.push("heading_open", `h${marks.length}`, 1);
  open.map = [startLine, state.line];
  const inside = state.push("inline", "", 0);
  [inside.content, inside.map, inside.children] = [text, [startLine, state.line], []];
  state.push("heading_close", `h${marks.length}`, -1);
  return true;
}

/**
 * Makes text of what is nested deeper than the parser goes.
 * @param {MarkdownIt["block"]} block
 * @param {number} depth
 */
function keepDepth(block, depth) {
  const tokenize = block.tokenize.bind(block);
  block.tokenize = (state, startLine, endLine) => {
    if (state.level < depth) return tokenize(state, startLine, endLine);
    let line = startLine + 1;
    while (line < endLine && (indentOf(state, line) >= 0 || state.isEmpty(line))) line += 1;
    state.push("paragraph_open", "p", 1).map = [startLine, line];
    const inside = state.push("inline", "", 0);
    [inside.content, inside.children] = [state.getLines(startLine, line, state.blkIndent, false).trim(), []];
    state.push("paragraph_close", "p", -1);
    state.line = line;
  };
}

/**
 * Cells beyond those of the head stay: in the last cell, as they were written.
 * @param {StateCore} state
 */
function cells({ tokens, env }) {
  const { lines = [] } = /** @type {Env} */ (env);
  let columns = 0;
  let row = 0; // its line
  for (const [nth, token] of tokens.entries()) {
    if (token.type === "thead_open") columns = 0;
    else if (token.type === "th_open") columns += 1;
    else if (token.type === "tr_open") row = token.map?.[0] ?? 0;
    else if (token.type === "tr_close" && tokens[nth - 1]?.type === "td_close") {
      const pieces = (lines[row] ?? "").replace(/^[\s>]*\|/, "").trim().split(/(?<!\\)\|/);
      if (pieces.at(-1) === "") pieces.pop();
      const last = tokens[nth - 2];
      if (last && pieces.length > columns) last.content = pieces.slice(columns - 1).join("|").trim().replaceAll("\\|", "|");
    }
  }
}

// Notes and tasks

const NOTE_CHARS_MAX = 70;
const NOTE = /^\[\^([^\]\s^]{1,60})\]/;

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
 * A note begins a paragraph of its own.
 * @type {BlockRule}
 */
function noteBlock(state, startLine, _, silent) {
  const line = lineOf(state, startLine);
  const [mark, id] = NOTE.exec(line.slice(0, NOTE_CHARS_MAX)) ?? [];
  if (!mark || !id || line[mark.length] !== ":" || indentOf(state, startLine) >= 4) return false;
  if (silent) return true;
  const env = /** @type {Env} */ (state.env);
  (env.notes ??= new Set()).add(id);
  state.line = startLine + 1;
  const open = state.push("paragraph_open", "p", 1);
  open.attrs = [["class", "note"]];
  open.map = [startLine, state.line];
  const inside = state.push("inline", "", 0);
  inside.content = `${mark}${line.slice(mark.length + 1)}`;
  inside.children = [];
  state.push("paragraph_close", "p", -1);
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
