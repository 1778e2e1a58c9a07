// The words of the page, in the language that the reader chose. Each language is one catalogue of the same entries.

import { ENGLISH } from "./words-en.js";

/** @typedef {typeof ENGLISH} Words */

/** The languages by their codes, each under its own name. */
export const LANGUAGES = { en: "English", de: "Deutsch" };

/** The catalogue that is shown now. */
export let words = ENGLISH;

/** @type {Record<string, () => Promise<Words>>} */
const OTHERS = { de: async () => (await import("./words-de.js")).GERMAN };

/**
 * Shows another language from now on; returns the code of the one that is shown.
 * @param {string} language
 */
export async function hear(language) {
  const load = OTHERS[language];
  const loaded = load && (await load().catch(() => null)); // without its file the page stays English
  words = loaded || ENGLISH;
  return words.code;
}
