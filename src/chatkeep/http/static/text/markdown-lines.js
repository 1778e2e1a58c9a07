// The lines of a text while it is parsed.

/** @typedef {import("../vendor/markdown-it.js").StateBlock} StateBlock */
/** @typedef {(state: StateBlock, startLine: number, endLine: number, silent: boolean) => boolean} BlockRule */

/**
 * Returns where a line begins, behind the blanks that set it in.
 * @param {StateBlock} state
 * @param {number} line
 */
export const beginOf = ({ bMarks, tShift }, line) => (bMarks[line] ?? 0) + (tShift[line] ?? 0);

/**
 * Returns how deep a line is set in, within its block.
 * @param {StateBlock} state
 * @param {number} line
 */
export const indentOf = ({ sCount, blkIndent }, line) => (sCount[line] ?? 0) - blkIndent;

/**
 * Returns a line, without the blanks that set it in.
 * @param {StateBlock} state
 * @param {number} line
 */
export const lineOf = (state, line) => state.src.slice(beginOf(state, line), state.eMarks[line]);
