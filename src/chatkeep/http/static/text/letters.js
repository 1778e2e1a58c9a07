// Letters of every script, and the characters around a place in a text.

export const CJK = /[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Hangul}\p{sc=Bopomofo}\u3000-\u303f\u30fb\u30fc\uff00-\uffef]/u;
export const WORD = /[A-Za-z0-9]/;

/** @param {string} character */
export const codeOf = (character) => character.codePointAt(0) ?? 32;

/** @type {(text: string, at: number) => string} */
export const characterAt = (text, at) => String.fromCodePoint(text.codePointAt(at) ?? 32);

/**
 * @param {string} text
 * @param {number} at
 */
export function characterBefore(text, at) {
  const [last, high] = [text[at - 1] ?? " ", text[at - 2] ?? ""];
  return /[\uDC00-\uDFFF]/.test(last) && /[\uD800-\uDBFF]/.test(high) ? high + last : last;
}
