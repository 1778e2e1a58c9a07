// What the reader has written and not sent, by session. It lasts as long as the tab: a reload brings it back.

const PLACE = "chatkeep.draft:";

/** @type {Map<string, string>} */
const written = new Map(); // where the browser keeps nothing, and for texts that are too long for it

/**
 * Returns what was written for a session, or with null for a new one.
 * @param {string | null} session
 */
export function draftOf(session) {
  const place = PLACE + (session ?? "");
  try {
    return sessionStorage.getItem(place) ?? written.get(place) ?? "";
  } catch {
    return written.get(place) ?? "";
  }
}

/**
 * Keeps what is written for a session; an empty text is kept no longer.
 * @param {string | null} session
 * @param {string} text
 */
export function keepDraft(session, text) {
  const place = PLACE + (session ?? "");
  written.delete(place);
  try {
    sessionStorage.removeItem(place);
    if (text) sessionStorage.setItem(place, text);
  } catch {
    written.set(place, text);
  }
}

/** Forgets all of it: the next reader of this tab may be another. */
export function forgetDrafts() {
  written.clear();
  try {
    for (const place of Object.keys(sessionStorage)) if (place.startsWith(PLACE)) sessionStorage.removeItem(place);
  } catch {
    // there is nothing to forget
  }
}
