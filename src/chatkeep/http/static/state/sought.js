// The words for which the reader comes to a message, from a search or from finding in a session.

/** @typedef {{ session: string, seq: number, words: string[], isMarked: boolean }} Sought */

/** @type {Sought | null} */
let coming = null;

/**
 * Remembers for which words the reader comes to a message, in lower case, and whether they are to be marked there.
 * @param {string} session
 * @param {number} seq
 * @param {string[]} words
 * @param {{ isMarked?: boolean }} [options]
 */
export function seek(session, seq, words, { isMarked = false } = {}) {
  coming = { session, seq, words, isMarked };
}

/**
 * Returns what the reader seeks in a message, or null.
 * @param {string} session
 * @param {number | null} seq
 */
export const soughtIn = (session, seq) => (coming?.session === session && coming.seq === seq ? coming : null);

/** Forgets the words: they have been shown. */
export function found() {
  coming = null;
}
