// Short messages at the foot of the page. Of those with a way back the newest is shown; the others wait behind it.

import { Observable } from "./observable.js";

const SHOWN_MS = 5000;
const COMPLAINT_SHOWN_MS = 8000;

/** @typedef {{ text: string, kind: "done" | "problem", undo?: () => void, away: () => void }} Notice */

class Notices extends Observable {
  /** @type {Notice[]} */
  all = [];

  /** The newest of those with a way back, and the newest of the others. */
  get shown() {
    const newest = [this.all.findLast((one) => one.undo), this.all.findLast((one) => !one.undo)];
    return this.all.filter((one) => newest.includes(one));
  }

  /**
   * Shows a sentence; returns a function that takes it away. `undo` gets a button.
   * @param {string} text
   * @param {{ undo?: () => void, kind?: Notice["kind"], shown_ms?: number }} [options]
   */
  say(text, { undo, kind = "done", shown_ms = SHOWN_MS } = {}) {
    const away = () => {
      clearTimeout(timer);
      this.all = this.all.filter((other) => other !== notice);
      this.changed();
    };
    const timer = setTimeout(away, shown_ms);
    const notice = { text, undo, kind, away };
    this.all = [...this.all, notice];
    this.changed();
    return away;
  }

  /** Undoes what can be undone and was done last; returns whether there was something. */
  undo() {
    const last = this.all.findLast((one) => one.undo);
    last?.undo?.();
    return last !== undefined;
  }

  /**
   * Says what went wrong; a request that was called off is no problem.
   * @param {unknown} error
   */
  complain(error) {
    if (!(error instanceof Error)) throw error;
    if (error.name !== "AbortError") this.say(error.message, { kind: "problem", shown_ms: COMPLAINT_SHOWN_MS });
  }
}

export const notices = new Notices();
