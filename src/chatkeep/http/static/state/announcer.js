// What a screen reader reads out because others see it: one line, read when the reader pauses.

import { Observable } from "./observable.js";

class Announcer extends Observable {
  text = "";

  /** @param {string} text */
  say(text) {
    this.text = this.text === text ? `${text}\u00a0` : text; // the same words again are read out again
    this.changed();
  }
}

export const announcer = new Announcer();
