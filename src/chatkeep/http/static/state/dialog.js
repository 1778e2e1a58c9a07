// The dialog that is open, if one is.

import { Observable } from "./observable.js";

/** @typedef {{ kind: "search" | "small" | "over", label: string, body: object }} Content what views draw in it */

class Dialog extends Observable {
  /** @type {Content | null} */
  content = null;

  /** @param {Content} content */
  open(content) {
    this.content = content;
    this.changed();
  }

  close = () => {
    this.content = null;
    this.changed();
  };
}

export const dialog = new Dialog();
