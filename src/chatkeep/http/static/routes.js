// Where the reader is. The address after # says it: #/s/KEY opens a session at its end, #/s/KEY/12 at message 12.

import { Model } from "./model.js";

const SCREENS = ["new", "overview"];

class Place extends Model {
  visit = 0; // counts the arrivals, for one may come again to where one is

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
    this.screen = screen === "s" && key ? "session" : SCREENS.includes(screen) ? screen : "home";
    this.key = this.screen === "session" ? decoded(key) : null;
    this.seq = /^[1-9]\d{0,15}$/.test(seq) ? Number(seq) : null;
  }
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export const place = new Place();

export const sessionLink = (key, seq) => `#/s/${encodeURIComponent(key)}${seq ? `/${seq}` : ""}`;

/** Leads to a place, and to its message again where the reader is there but has scrolled away. */
export function go(hash, { replace = false } = {}) {
  if (replace || hash === location.hash) {
    history.replaceState(null, "", hash);
    dispatchEvent(new HashChangeEvent("hashchange"));
  } else {
    location.hash = hash;
  }
}
