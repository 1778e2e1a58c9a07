// Where the reader is. The address after # says it: #/s/KEY opens a session at its end, #/s/KEY/12 at message 12.

import { Observable } from "./observable.js";

/** @typedef {"home" | "session" | "new" | "overview"} Screen */

class Route extends Observable {
  visit = 0; // counts the arrivals: a reader may come again to where they are
  /** @type {Screen} */
  screen = "home";
  /** @type {string | null} */
  key = null; // of the session
  /** @type {number | null} */
  seq = null; // of the message

  constructor() {
    super();
    this.#read();
    addEventListener("hashchange", () => {
      this.#read();
      this.changed();
    });
  }

  #read() {
    const [, screen = "", key = "", seq = ""] = location.hash.slice(1).split("/");
    this.visit += 1;
    if (screen === "s" && key) this.screen = "session";
    else this.screen = screen === "new" || screen === "overview" ? screen : "home";
    this.key = this.screen === "session" ? decoded(key) : null;
    this.seq = /^[1-9]\d{0,15}$/.test(seq) ? Number(seq) : null;
  }
}

/** @param {string} text */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export const route = new Route();

/**
 * Returns the address of a session, or of a message in it.
 * @param {string} key
 * @param {number | null} [seq]
 */
export const sessionLink = (key, seq) => `#/s/${encodeURIComponent(key)}${seq ? `/${seq}` : ""}`;

/**
 * Leads to an address, and to its message again where the reader is there but has scrolled away.
 * @param {string} hash
 * @param {{ replace?: boolean }} [options]
 */
export function go(hash, { replace = false } = {}) {
  if (replace || hash === location.hash) {
    history.replaceState(null, "", hash);
    dispatchEvent(new HashChangeEvent("hashchange"));
  } else {
    location.hash = hash;
  }
}
