// Tables of Markdown as models write them: bounded, and rows with more cells than the head has.

import { indentOf } from "./markdown-lines.js";

/** @typedef {import("../vendor/markdown-it.js").StateCore} StateCore */
/** @typedef {import("./markdown-blocks.js").Env} Env */
/** @typedef {import("./markdown-lines.js").BlockRule} BlockRule */

const CELLS_MAX = 2_000; // a table with more is text: short rows are filled up to the width of the head

/**
 * Refuses tables with too many cells: they are plain text.
 * @param {BlockRule} table
 * @returns {BlockRule}
 */
export function boundedTable(table) {
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
 * Cells beyond those of the head: either pipes in code or formulas have parted too many, or they stay in the last cell.
 * @param {StateCore} state
 */
export function cells({ tokens, env }) {
  const { lines = [] } = /** @type {Env} */ (env);
  let columns = 0;
  let row = 0; // its line
  for (const [nth, token] of tokens.entries()) {
    if (token.type === "thead_open") columns = 0;
    else if (token.type === "th_open") columns += 1;
    else if (token.type === "tr_open") row = token.map?.[0] ?? 0;
    else if (token.type === "tr_close" && tokens[nth - 1]?.type === "td_close") {
      const line = (lines[row] ?? "").replace(/^[\s>]*\|/, "").trim();
      const pieces = piecesOf(line, pipesIn(line));
      if (pieces.length <= columns) continue;
      const apart = piecesOf(line, pipesBesideWholes(line));
      const contents = apart.length === columns ? apart : [...pieces.slice(0, columns - 1), pieces.slice(columns - 1).join("|")];
      for (const [place, content] of contents.entries()) {
        const inside = tokens[nth - 2 - 3 * (columns - 1 - place)]; // each cell is three tokens
        if (inside) inside.content = content.trim().replaceAll("\\|", "|");
      }
    }
  }
}

/**
 * Returns the places of the pipes that have no backslash.
 * @param {string} row
 */
const pipesIn = (row) => [...row.matchAll(/(?<!\\)\|/g)].map(({ index }) => index);

/**
 * Returns the places of those that stand in no code and no formula.
 * @param {string} row
 */
function pipesBesideWholes(row) {
  const wholes = wholesOf(row);
  let nth = 0;
  return pipesIn(row).filter((pipe) => {
    while ((wholes[nth]?.[1] ?? Infinity) < pipe) nth += 1;
    return (wholes[nth]?.[0] ?? Infinity) > pipe;
  });
}

/**
 * Returns a row cut at these pipes; the last one ends it.
 * @type {(row: string, pipes: number[]) => string[]}
 */
function piecesOf(row, pipes) {
  const pieces = [...pipes, row.length].map((pipe, nth) => row.slice(nth ? (pipes[nth - 1] ?? 0) + 1 : 0, pipe));
  if (pieces.at(-1) === "") pieces.pop();
  return pieces;
}

/**
 * Returns where code and formulas stand in a row, each as its begin and end.
 * @param {string} row
 */
function wholesOf(row) {
  const marks = [...row.matchAll(/`+|(?<!\\)\$/g)].map(({ 0: mark, index }) => ({ mark, index }));
  /** @type {[number, number][]} */
  const wholes = [];
  /** @type {Map<string, number>} */
  const later = new Map(); // of each mark, the next one like it
  const nexts = marks.map(() => -1);
  for (let nth = marks.length - 1; nth >= 0; nth -= 1) {
    const { mark = "" } = marks[nth] ?? {};
    nexts[nth] = later.get(mark) ?? -1;
    later.set(mark, nth);
  }
  for (let nth = 0; nth < marks.length; nth += 1) {
    const end = nexts[nth] ?? -1;
    if (end < 0) continue;
    wholes.push([marks[nth]?.index ?? 0, marks[end]?.index ?? 0]);
    nth = end;
  }
  return wholes;
}
