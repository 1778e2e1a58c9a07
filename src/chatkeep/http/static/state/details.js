// What is known of a session beside its row and its messages: when it began, and its metadata.

import * as api from "../wire/api.js";
import { Observable } from "./observable.js";

class SessionDetails extends Observable {
  /** @type {Map<string, api.SessionDetail>} */
  #known = new Map();

  /** @param {string} key */
  of(key) {
    return this.#known.get(key);
  }

  /**
   * Asks for the details of a session; what was known stays until they are there, and where nobody answers.
   * @param {string} key
   */
  async load(key) {
    const detail = await api.getSession(key).catch(() => null);
    if (!detail) return;
    this.#known = new Map([[key, detail]]); // one session is looked at
    this.changed();
  }
}

export const details = new SessionDetails();
