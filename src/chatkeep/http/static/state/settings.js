// What the reader chose for this browser: the theme, and the language of the page.

import { hear, LANGUAGES } from "../text/words.js";
import { Observable } from "./observable.js";

/** @typedef {"theme" | "language"} Setting */

const PLACE = "chatkeep.";

class Settings extends Observable {
  theme = kept("theme");
  language = kept("language");

  /**
   * Takes a choice, and keeps it; an empty one is that of the system.
   * @param {Setting} name
   * @param {string} value
   */
  async choose(name, value) {
    this[name] = value;
    keep(name, value);
    await this.apply();
  }

  /** Shows what is chosen. */
  async apply() {
    const { dataset } = document.documentElement;
    if (this.theme === "light" || this.theme === "dark") dataset.theme = this.theme;
    else delete dataset.theme;
    document.documentElement.lang = await hear(this.language || spoken());
    this.changed();
  }
}

/** Returns the first language of the reader's that the page speaks. */
function spoken() {
  const short = navigator.languages.map((language) => language.split("-")[0] ?? "");
  return short.find((language) => language in LANGUAGES) ?? "en";
}

/** @param {Setting} name */
function kept(name) {
  try {
    return localStorage.getItem(PLACE + name) ?? "";
  } catch {
    return ""; // the browser keeps nothing for pages
  }
}

/**
 * @param {Setting} name
 * @param {string} value
 */
function keep(name, value) {
  try {
    if (value) localStorage.setItem(PLACE + name, value);
    else localStorage.removeItem(PLACE + name);
  } catch {
    // then it lasts as long as the page
  }
}

export const settings = new Settings();
