// A question that the reader words anew, in its place. One is reworded at a time.

import { branches } from "./branches.js";
import { Observable } from "./observable.js";

class Rewording extends Observable {
  /** @type {{ session: string, seq: number } | null} */
  place = null;
  text = "";
  isAsking = false;

  /**
   * @param {string} session
   * @param {number} seq
   */
  isAt(session, seq) {
    return this.place?.session === session && this.place.seq === seq;
  }

  /**
   * @param {string} session
   * @param {number} seq
   * @param {string} text
   */
  begin(session, seq, text) {
    Object.assign(this, { place: { session, seq }, text, isAsking: false });
    this.changed();
  }

  end() {
    this.place = null;
    this.changed();
  }

  /** Asks in a fork; where the server refuses, the text stays. */
  async ask() {
    const { place, text } = this;
    if (!place || !text.trim() || this.isAsking) return;
    this.isAsking = true;
    this.changed();
    const isAsked = await branches.ask(place.session, place.seq, text.trim());
    this.isAsking = false;
    if (isAsked && this.place === place) this.place = null;
    this.changed();
  }
}

export const rewording = new Rewording();
