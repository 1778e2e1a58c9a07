// How models write Markdown, as rules of the parser: what is no mark of it stays in the text as it was written.

const FORMULA_CHARS_MAX = 4000; // a formula is looked for no further, so that an open dollar sign costs little
const CELLS_MAX = 2_000; // a table with more is text: short rows are filled up to the width of the head
const NAME_CHARS_MAX = 60;
const VANISHING = "`*_[]#+-.!|<>~$";
const CJK = /[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Hangul}\p{sc=Bopomofo}\u3000-\u303f\u30fb\u30fc\uff00-\uffef]/u;
const WORD = /[A-Za-z0-9]/;

/** Teaches a parser all of it. */
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
  block.ruler.at("table", boundedTable(block.ruler.getRules("")[0]), { alt: ["paragraph", "reference"] });
  keepDepth(block, parser.options.maxNesting);
  core.ruler.before("inline", "cells", cells);
  core.ruler.after("inline", "tasks", tasks);
  core.ruler.after("inline", "breaks", breaks);
  return parser;
}

// Emphasis

/** Marks beside Chinese, Japanese and Korean need no blanks; those between digits multiply. */
function stateOf(State, { isWhiteSpace, isMdAsciiPunct, isPunctChar }) {
  return class extends State {
    scanDelims(start, canSplitWord) {
      const found = super.scanDelims(start, canSplitWord);
      if (!canSplitWord) return found;
      const before = characterBefore(this.src, start);
      const after = String.fromCodePoint(this.src.codePointAt(start + found.length) ?? 32);
      const isOpen = start + found.length < this.posMax && !isWhiteSpace(after.codePointAt(0));
      const isAfter = start > 0 && !isWhiteSpace(before.codePointAt(0));
      const isBesideCjk = CJK.test(before) || CJK.test(after);
      const isPunct = (mark) => isMdAsciiPunct(mark.codePointAt(0)) || isPunctChar(mark);
      const isStrong = found.length > 1 && isPunct(before); // as in **Note:**text
      const canOpen = found.can_open || (isOpen && isBesideCjk);
      const canClose = found.can_close || (isAfter && (isBesideCjk || isStrong));
      const isInWord = WORD.test(before) && WORD.test(after);
      const isProduct = isInWord && /\d/.test(before + after); // 2*3*4, 2**8
      return {
        can_open: canOpen && !isProduct && !(isInWord && found.length === 1),
        can_close: canClose && !isProduct,
        length: found.length,
      };
    }
  };
}

function characterBefore(text, at) {
  const [last, high] = [text[at - 1] ?? " ", text[at - 2] ?? ""];
  return /[\uDC00-\uDFFF]/.test(last) && /[\uD800-\uDBFF]/.test(high) ? high + last : last;
}

/** Names like __init__ are no emphasis. */
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

/** A backslash goes only where it keeps a mark from being one. */
function escape(state, silent) {
  const next = state.src[state.pos + 1];
  if (state.src[state.pos] !== "\\" || state.pos + 1 >= state.posMax) return false;
  const isEscape = VANISHING.includes(next);
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

/** A line ends where it was ended; the blanks that the next one begins with stay. */
function newline(state, silent) {
  if (state.src[state.pos] !== "\n") return false;
  if (!silent) state.push("hardbreak", "br", 0);
  state.pos += 1;
  return true;
}

// Formulas

const DELIMITERS = [
  ["$$", "$$", true],
  ["\\[", "\\]", true],
  ["\\(", "\\)", false],
  ["$", "$", false],
];

function formula(state, silent) {
  const { src, pos, posMax } = state;
  if (src[pos] !== "$" && src[pos] !== "\\") return false;
  const [open, close, isDisplay] = DELIMITERS.find(([mark]) => src.startsWith(mark, pos)) ?? [];
  if (!open) return false;
  const window = src.slice(pos + open.length, Math.min(posMax, pos + FORMULA_CHARS_MAX));
  const end = closing(window, close);
  const content = window.slice(0, end);
  const isFormula = {
    $: () => isBetweenDollars(src[pos - 1], content, window[end + 1]),
    "\\[": () => isMath(content) && /[\\=^_+<>/]/.test(content), // else brackets that were kept from being a link
  }[open] ?? (() => isMath(content));
  if (end < 0 || !isFormula()) return false;
  const whole = open + content + close;
  if (!silent) pushFormula(state, isDisplay ? "formula_display" : "formula", content, whole);
  state.pos += whole.length;
  return true;
}

function closing(text, close) {
  for (let at = text.indexOf(close); at >= 0; at = text.indexOf(close, at + 1)) {
    let slashes = 0;
    while (text[at - 1 - slashes] === "\\") slashes += 1;
    if (slashes % 2 === 0) return at;
  }
  return -1;
}

/** Prices, shell variables and words are no formulas. */
function isBetweenDollars(before = "", content, after = "") {
  if (!content || /^\s|\s$/.test(content) || /[A-Za-z0-9\\$]/.test(before) || /[A-Za-z0-9$]/.test(after)) return false;
  const isPrice = /^\d/.test(content) && /[A-Za-z]{3,}/.test(content) && !content.includes("\\");
  return !isPrice && isMath(content);
}

/** Tells a formula from words in brackets. */
function isMath(content) {
  if (!content.trim()) return false;
  if (content.includes("\\")) return true;
  return !CJK.test(content) && !/[A-Za-z]{2,}[ ,;]+[A-Za-z]{2,}/.test(content) && /[A-Za-z0-9α-ωΑ-Ω=+<>^_|-]/.test(content);
}

function pushFormula(state, type, content, whole) {
  const token = state.push(type, "", 0);
  token.content = whole;
  token.meta = { formula: content };
  return token;
}

/** A formula on lines of its own: between double dollars, brackets, or as an environment. */
function formulaBlock(state, startLine, endLine, silent) {
  if (state.sCount[startLine] - state.blkIndent >= 4) return false;
  const line = (nth) => state.src.slice(state.bMarks[nth] + state.tShift[nth], state.eMarks[nth]).trimEnd();
  const first = line(startLine);
  const environment = /^\\begin\{([A-Za-z]{1,20}\*?)\}/.exec(first)?.[1];
  const [open, close] = environment ? ["", `\\end{${environment}}`] : DELIMITERS.slice(0, 2).find(([mark]) => first.startsWith(mark)) ?? [];
  if (close === undefined) return false;
  if (!isNear(state, startLine, close)) return false;
  for (let nth = startLine; nth < endLine && (nth === startLine || state.sCount[nth] >= state.blkIndent || state.isEmpty(nth)); nth += 1) {
    const text = nth === startLine ? first.slice(open.length) : line(nth);
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

/** Tells whether a mark comes soon; where it is remembered, so that many open formulas cost as much as one. */
function isNear(state, line, mark) {
  const found = (state.env.marks ??= new Map());
  const begin = state.bMarks[line];
  if (!(found.get(mark) >= begin)) {
    const at = state.src.indexOf(mark, begin + 1);
    found.set(mark, at < 0 ? Infinity : at);
  }
  return found.get(mark) - begin <= FORMULA_CHARS_MAX;
}

// Blocks

/** Refuses tables with too many cells: they are plain text. */
function boundedTable(table) {
  return (state, startLine, endLine, silent) => {
    if (!table(state, startLine, Math.min(endLine, startLine + 2), true)) return false;
    if (silent) return true;
    const marks = state.src.slice(state.bMarks[startLine + 1], state.eMarks[startLine + 1]);
    const rowsMax = CELLS_MAX / (marks.split("|").length - 1 || 1);
    let line = startLine + 2;
    while (line < endLine && !state.isEmpty(line) && line - startLine <= rowsMax) line += 1;
    if (line - startLine <= rowsMax) return table(state, startLine, endLine, false);
    while (line < endLine && !state.isEmpty(line) && state.sCount[line] >= state.blkIndent) line += 1;
    state.push("plain", "", 0).map = [startLine, line];
    state.line = line;
    return true;
  };
}

/** A fence. One of Markdown holds others: a fence with a language opens one inside, the next bare one closes that. */
function fence(state, startLine, endLine, silent) {
  const start = state.bMarks[startLine] + state.tShift[startLine];
  const [whole, mark] = /^(`{3,}|~{3,})[^\n]*/.exec(state.src.slice(start, state.eMarks[startLine])) ?? [];
  if (!mark || state.sCount[startLine] - state.blkIndent >= 4) return false;
  const info = whole.slice(mark.length).trim();
  if (mark[0] === "`" && info.includes("`")) return false;
  if (silent) return true;
  const closed = fenceEnd(state, startLine, endLine, mark, /^(?:markdown|md|mdx)\b/i.test(info));
  const token = state.push("fence", "code", 0);
  token.info = info;
  token.content = state.getLines(startLine + 1, closed.line, state.sCount[startLine], true);
  token.markup = mark;
  token.map = [startLine, (state.line = closed.line + (closed.isMarked ? 1 : 0))];
  return true;
}

function fenceEnd(state, startLine, endLine, mark, isNest) {
  const same = new RegExp(`^\\${mark[0]}{${mark.length},}[ \\t]*(\\S?)`);
  let [depth, bare, line] = [0, null, startLine + 1];
  for (; line < endLine; line += 1) {
    const begin = state.bMarks[line] + state.tShift[line];
    if (begin < state.eMarks[line] && state.sCount[line] < state.blkIndent) break;
    if (state.src[begin] !== mark[0] || state.sCount[line] - state.blkIndent >= 4) continue;
    const found = same.exec(state.src.slice(begin, state.eMarks[line]));
    if (!found) continue;
    if (found[1]) depth += 1;
    else if (depth > 0 && isNest) [depth, bare] = [depth - 1, bare ?? line];
    else return { line, isMarked: true };
  }
  return bare === null ? { line, isMarked: false } : { line: bare, isMarked: true };
}

/** A heading without the blank after its marks: ##Like this. One mark alone begins a #tag, and ##this## is no heading. */
function tightHeading(state, startLine, _, silent) {
  const start = state.bMarks[startLine] + state.tShift[startLine];
  if (state.src[start] !== "#" || state.sCount[startLine] - state.blkIndent >= 4) return false;
  const [, marks, text] = /^(#{2,6})((?:\p{L}|\p{N}|\*\*).*[^#\s])\s*$/u.exec(state.src.slice(start, state.eMarks[startLine])) ?? [];
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

/** What is nested deeper than the parser goes is text. */
function keepDepth(block, depth) {
  const tokenize = block.tokenize.bind(block);
  block.tokenize = (state, startLine, endLine) => {
    if (state.level < depth) return tokenize(state, startLine, endLine);
    let line = startLine + 1;
    while (line < endLine && (state.sCount[line] >= state.blkIndent || state.isEmpty(line))) line += 1;
    state.push("paragraph_open", "p", 1).map = [startLine, line];
    const inside = state.push("inline", "", 0);
    [inside.content, inside.children] = [state.getLines(startLine, line, state.blkIndent, false).trim(), []];
    state.push("paragraph_close", "p", -1);
    state.line = line;
  };
}

/** Cells beyond those of the head stay: in the last cell, as they were written. `env.lines` are those of the whole text. */
function cells({ tokens, env }) {
  let [columns, row] = [0, null];
  for (const [nth, token] of tokens.entries()) {
    if (token.type === "thead_open") columns = 0;
    else if (token.type === "th_open") columns += 1;
    else if (token.type === "tr_open") row = token;
    else if (token.type === "tr_close" && tokens[nth - 1].type === "td_close") {
      const pieces = env.lines[row.map[0]].replace(/^[\s>]*\|/, "").trim().split(/(?<!\\)\|/);
      if (pieces.at(-1) === "") pieces.pop();
      if (pieces.length > columns) tokens[nth - 2].content += ` | ${pieces.slice(columns).join("|").trim()}`;
    }
  }
}

// Notes and tasks

const NOTE = /^\[\^([^\]\s^]{1,60})\]/;

/** A mark of a note, where that note is written somewhere. */
function note(state, silent) {
  const { src, pos } = state;
  if (src[pos] !== "[" || src[pos + 1] !== "^") return false;
  const [mark, id] = NOTE.exec(src.slice(pos, pos + 70)) ?? [];
  if (!mark || !state.env.notes?.has(id)) return false;
  if (!silent) state.push("note", "", 0).content = id;
  state.pos += mark.length;
  return true;
}

/** A note begins a paragraph of its own. */
function noteBlock(state, startLine, _, silent) {
  const start = state.bMarks[startLine] + state.tShift[startLine];
  const [mark, id] = NOTE.exec(state.src.slice(start, Math.min(start + 70, state.eMarks[startLine]))) ?? [];
  if (!mark || state.src[start + mark.length] !== ":" || state.sCount[startLine] - state.blkIndent >= 4) return false;
  if (silent) return true;
  (state.env.notes ??= new Set()).add(id);
  state.line = startLine + 1;
  const open = state.push("paragraph_open", "p", 1);
  open.attrs = [["class", "note"]];
  open.map = [startLine, state.line];
  const inside = state.push("inline", "", 0);
  inside.content = `${mark}${state.src.slice(start + mark.length + 1, state.eMarks[startLine])}`;
  inside.children = [];
  state.push("paragraph_close", "p", -1);
  return true;
}

/** Items that begin with a box have no bullet; items of a list that counts have the numbers they were given. */
function tasks({ tokens }) {
  const lists = [];
  for (const [nth, token] of tokens.entries()) {
    if (token.type.endsWith("_list_open")) lists.push(null);
    else if (token.type.endsWith("_list_close")) lists.pop();
    if (token.type !== "list_item_open") continue;
    const number = token.info && Number(token.info);
    if (token.info && (lists.at(-1) === null || number > lists.at(-1))) token.attrSet("value", token.info);
    if (token.info && token.markup === ")") token.attrSet("class", "bracketed");
    lists[lists.length - 1] = number || lists.at(-1);
    const first = tokens[nth + 2]?.type === "inline" ? tokens[nth + 2].children[0] : null;
    const box = first?.type === "text" && /^\[([ xX])\](?=\s)/.exec(first.content);
    if (!box) continue;
    first.content = (box[1] === " " ? "☐" : "☑") + first.content.slice(3);
    token.attrJoin("class", "task");
  }
}

/** In a cell of a table, where no line can end, <br> ends one. */
function breaks({ tokens, Token }) {
  for (const [nth, token] of tokens.entries()) {
    if (token.type !== "inline" || !/^t[dh]_open$/.test(tokens[nth - 1]?.type) || !/<br\s*\/?>/i.test(token.content)) continue;
    token.children = token.children.flatMap((child) => {
      if (child.type !== "text") return [child];
      return child.content.split(/<br\s{0,9}\/?>/i).flatMap((text, place) => {
        const piece = new Token("text", "", 0);
        piece.content = text;
        return place ? [new Token("hardbreak", "br", 0), piece] : [piece];
      });
    });
  }
}
