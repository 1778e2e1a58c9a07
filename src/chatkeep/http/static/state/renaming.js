// Renaming in place: in the list, or in the head of a session. One title is renamed at a time.

import * as api from "../wire/api.js";
import { Observable } from "./observable.js";
import { sessions } from "./sessions.js";

/** @typedef {api.SessionRow} SessionRow */
/** @typedef {"list" | "head"} Place where the title is, in the list or above the session */

class Renaming extends Observable {
  /** @type {SessionRow | null} */
  row = null;
  /** @type {Place | null} */
  place = null;
  text = "";
  /** @type {string | null} */
  problem = null;

  /**
   * @param {Place} place
   * @param {SessionRow} row
   */
  isAt(place, row) {
    return this.place === place && this.row?.id === row.id;
  }

  /**
   * @param {Place} place
   * @param {SessionRow} row
   */
  begin(place, row) {
    Object.assign(this, { place, row, text: row.user_title ?? row.title, problem: null });
    this.changed();
  }

  end() {
    Object.assign(this, { place: null, row: null, problem: null });
    this.changed();
  }

  /** @param {string} text */
  write(text) {
    Object.assign(this, { text, problem: null });
    this.changed();
  }

  /** Asks the server; where it refuses, the text stays and `problem` says why. */
  async save() {
    const { row, text } = this;
    if (!row) return;
    const title = text.trim();
    if (title === row.title) return this.end();
    const before = sessions.find(row.id)?.title;
    try {
      const detail = await api.reviseSession(row.id, { title: title || null });
      const now = sessions.find(row.id);
      const isNewer = now?.title !== before; // the feed brought this title, or one after it
      if (now && !isNewer) sessions.put({ ...now, title: detail.title, user_title: detail.user_title });
      if (this.row?.id === row.id) this.end();
    } catch (error) {
      if (this.row?.id !== row.id) return;
      this.problem = api.problemOf(error).message;
      this.changed();
    }
  }
}

export const renaming = new Renaming();
