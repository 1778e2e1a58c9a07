// The messages of a session that are on the page: a window that slides over all of them.

import * as api from "../wire/api.js";
import { Observable } from "./observable.js";

const FIRST = 40;
const STEP = 20; // few enough to be drawn between two frames
const HELD_MAX = 120; // each is laid out and painted anew at every step; this fills a tall screen and both margins

/** @typedef {(query: { before?: number, after?: number, limit: number }) => Promise<api.MessagePage>} Read */

export class MessageWindow extends Observable {
  /** @type {api.Message[]} */
  messages = [];
  hasOlder = false;
  hasNewer = false;
  isReady = false;
  isLoading = false;
  /** @type {api.Problem | null} */
  problem = null;
  #isBehind = false; // something was appended while something else was read
  /** @type {Promise<void> | null} */
  #reading = null; // ends when that is read too
  #ended = new AbortController();
  /** @type {number | null} */
  #sought = null; // the message that was to be shown

  /** @param {string} key */
  constructor(key) {
    super();
    this.key = key;
  }

  get first() {
    return this.messages[0]?.seq ?? 0;
  }

  get last() {
    return this.messages.at(-1)?.seq ?? 0;
  }

  /** @param {number} seq */
  holds(seq) {
    return this.first <= seq && seq <= this.last;
  }

  /**
   * Tells whether some of the messages no longer stand.
   * @param {[number, number][]} drops
   */
  lost(drops) {
    return drops.some(([first, last]) => first <= this.last && last >= this.first);
  }

  /**
   * Shows the end, or the surroundings of a message.
   * @param {number | null} [seq]
   */
  open(seq = null) {
    this.#sought = seq;
    this.#ended.abort(); // what is still read belongs to another place
    this.#ended = new AbortController();
    return this.#read(async (read) => {
      const half = FIRST / 2;
      const [older, newer] = await Promise.all([
        read(seq ? { before: seq, limit: half } : { limit: FIRST }),
        seq ? read({ after: seq - 1, limit: half }) : null,
      ]);
      this.messages = [...older.messages, ...(newer?.messages ?? [])];
      this.hasOlder = older.has_more;
      this.hasNewer = newer?.has_more ?? false;
      this.isReady = true;
    });
  }

  older() {
    if (!this.hasOlder || this.isLoading || this.problem) return undefined;
    return this.#read(async (read) => {
      const page = await read({ before: this.first, limit: STEP });
      const held = [...page.messages, ...this.messages];
      this.hasOlder = page.has_more;
      this.hasNewer ||= held.length > HELD_MAX;
      this.messages = held.slice(0, HELD_MAX);
    });
  }

  newer() {
    if (!this.hasNewer || this.isLoading || this.problem) return undefined;
    return this.#read((read) => this.#append(read));
  }

  /** Takes in what was appended, if the end is shown; else it is read when the reader comes there. */
  async follow() {
    if (this.isLoading) {
      this.#isBehind = true;
      await this.#reading;
    } else if (this.problem?.status === 404) await this.open(); // what was shown is gone: this is another beginning
    else if (this.problem && !this.isReady) await this.open(this.#sought); // nobody answered, and somebody does now
    else if (this.hasNewer) this.resume();
    else if (this.isReady) {
      await this.#read((read) => this.#append(read));
      if (this.problem) this.hasNewer = true;
    }
  }

  /** Goes on after a problem: what is missing is read when the reader is near it. */
  resume() {
    this.problem = null;
    this.changed();
  }

  end() {
    this.#ended.abort();
  }

  /** @param {Read} read */
  async #append(read) {
    const page = await read({ after: this.last, limit: STEP });
    const held = [...this.messages, ...page.messages];
    this.hasNewer = page.has_more;
    this.hasOlder ||= held.length > HELD_MAX;
    this.messages = held.slice(-HELD_MAX);
  }

  /** @param {(read: Read) => Promise<void>} work */
  #read(work) {
    return (this.#reading = this.#carryOut(work));
  }

  /** @param {(read: Read) => Promise<void>} work */
  async #carryOut(work) {
    const { signal } = this.#ended;
    this.isLoading = true;
    this.problem = null;
    this.changed();
    try {
      await work((query) => api.readMessages({ session: this.key, ...query }, signal));
    } catch (error) {
      if (!signal.aborted) this.problem = api.problemOf(error);
    }
    if (signal.aborted) return;
    this.isLoading = false;
    this.changed();
    if (this.#isBehind) {
      this.#isBehind = false;
      await this.follow();
    }
  }
}
