// What changes on the server, while somebody looks: a hidden tab holds no connection.

import * as api from "./api.js";

const PAUSE_MS = 2000;
const SHORT_PAUSE_MS = 300; // a server that starts anew is often back by then

/** @typedef {{ key?: string, session?: api.SessionRow, drops?: [number, number][] }} Change */
/** @typedef {(name: string, data: Change) => void} Take */

/**
 * Passes on every change; "again" means: read anew what is shown. "away" and "back" say whether the server answers.
 * Returns a function that ends it.
 * @param {Take} take
 */
export function followChanges(take) {
  /** @type {string | null} */
  let lastId = null;
  /** @type {AbortController | null} */
  let reading = null;

  async function read() {
    reading = new AbortController();
    const { signal } = reading;
    while (!signal.aborted) {
      let isHeard = false;
      try {
        for await (const [name, data, id] of api.followEvents(lastId, signal)) {
          if (!isHeard) take("back", {});
          isHeard = true;
          const isFresh = lastId === null; // nobody knows what happened since the list was read
          lastId = id ?? null;
          if (name === "reset" || (name === "ready" && isFresh)) take("again", {});
          else if (name !== "ready") take(name, /** @type {Change} */ (data));
        }
      } catch (error) {
        const { status } = api.problemOf(error);
        if (status === 401) return take("signed out", {});
        if (status === 422) lastId = null;
        if (!isHeard && !signal.aborted && (status === 0 || status >= 500)) take("away", {});
      }
      await new Promise((done) => setTimeout(done, isHeard ? SHORT_PAUSE_MS : PAUSE_MS));
    }
  }

  const look = () => {
    reading?.abort();
    if (!document.hidden) read();
  };
  document.addEventListener("visibilitychange", look);
  look();
  return () => {
    document.removeEventListener("visibilitychange", look);
    reading?.abort();
  };
}
