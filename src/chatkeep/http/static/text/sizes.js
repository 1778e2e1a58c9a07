// Sizes in bytes, as words.

import { words } from "./words.js";

/**
 * Returns a size as words: "12 kB", "1.5 MB".
 * @param {number} bytes
 */
export function sized(bytes) {
  const units = [words.bytes, "kB", "MB", "GB", "TB"];
  const step = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
  const value = bytes / 1000 ** step;
  const digits = value < 10 && step ? 1 : 0;
  return `${value.toLocaleString(words.code, { minimumFractionDigits: digits, maximumFractionDigits: digits })} ${units[step]}`;
}
