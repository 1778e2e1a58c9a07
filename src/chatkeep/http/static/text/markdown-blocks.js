// Blocks of Markdown as models write them: fences, headings, notes, and what is nested too deeply.

import { beginOf, indentOf, lineOf } from "./markdown-lines.js";

/** @typedef {import("../vendor/markdown-it.js").MarkdownIt} MarkdownIt */
/** @typedef {import("../vendor/markdown-it.js").StateBlock} StateBlock */
/** @typedef {import("../vendor/markdown-it.js").Env & { lines?: string[], notes?: Set<string> }} Env `lines` are those of the whole text */
/** @typedef {import("./markdown-lines.js").BlockRule} BlockRule */

export const NOTE_CHARS_MAX = 70;
export const NOTE = /^\[\^([^\]\s^]{1,60})\]/;

/**
 * A fence. One of Markdown holds others: a fence with a language opens one inside, the next bare one closes that.
 * @type {BlockRule}
 */
export function fence(state, startLine, endLine, silent) {
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
export function tightHeading(state, startLine, _, silent) {
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
export function keepDepth(block, depth) {
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
 * A note begins a paragraph of its own.
 * @type {BlockRule}
 */
export function noteBlock(state, startLine, _, silent) {
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
