// Backslashes that part names: of paths, of the registry, of namespaces, and those of patterns.

const PATH_CHARS_MAX = 260;
const ROOT = /(?<![A-Za-z0-9])(?:[A-Za-z]:|%\w+%|\$env:\w+|~|\.\.?|\\\\[\w.$-]+)(?:\\|$)/; // of Windows: its drive, variable or server
const SPACED = /(?<![A-Za-z0-9])(?:[A-Za-z]:|\\\\[\w.$-]+)\\(?:[^\n<>:"|?*]*[^\s<>:"|?*])?$/; // names with blanks: C:\Program Files (x86)\*
const NAME = /\\[\p{L}\p{N}]/u; // no backslash before a letter keeps it from being a mark

/**
 * Returns whether a backslash stands in a word with others that are no escapes.
 * @param {string} src
 * @param {number} pos
 */
export function isInPath(src, pos) {
  const before = src.slice(Math.max(0, pos - PATH_CHARS_MAX), pos);
  const word = before.slice(before.search(/\S*$/));
  return ROOT.test(word) || NAME.test(word) || SPACED.test(before);
}
