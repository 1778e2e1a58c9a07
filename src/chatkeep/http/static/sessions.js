// The sessions that match a filter, newest activity first: read page by page, kept true by the feed.

import * as api from "./api.js";
import { Model } from "./model.js";

const FIRST_PAGE = 50;
const NEXT_PAGE = 500;
const COUNT_PAUSE_MS = 500;
const UNFILTERED = { channel: "", state: "current", tag: "", from: "", until: "" };
const STATES = {
  current: { archived: "false" },
  pinned: { archived: "false", pinned: "true" },
  archived: { archived: "true" },
  all: { archived: "all" },
};

export class SessionList extends Model {
  /** Days are those of the reader's zone, as inputs give them; `until` is the last one. */
  filter = UNFILTERED;
  rows = [];
  total = 0;
  problem = null;
  isLoading = false;
  selected = new Set();
  opened = null;
  #wanted = null; // the key of what is open, or will be when it is here
  /** Sessions that are deleted for the reader, but not yet on the server. */
  hidden = new Set();
  #cursor = null;
  #readTo = ""; // the time of the last session before the cursor; one that is older comes with a later page
  #reading = null;
  #meanwhile = []; // what changed while a page is read, which may be from before that
  #counting = null;

  get shown() {
    return this.hidden.size ? this.rows.filter((row) => !this.hidden.has(row.id)) : this.rows;
  }

  get hasMore() {
    return this.#cursor !== null;
  }

  /** Reads the list anew; what is shown stays until the answer is there. */
  async load() {
    this.#reading?.abort();
    this.#cursor = null;
    await this.#read(FIRST_PAGE, (rows) => (this.rows = rows));
  }

  /** Goes on where reading failed. */
  async again() {
    if (!this.hasMore) return this.load();
    this.problem = null;
    return this.more();
  }

  async more() {
    if (this.isLoading || !this.hasMore || this.problem) return;
    await this.#read(NEXT_PAGE, (rows) => {
      const known = new Set(this.rows.map((row) => row.id));
      this.rows = this.rows.concat(rows.filter((row) => !known.has(row.id)));
    });
  }

  async #read(limit, take) {
    const reading = new AbortController();
    this.#reading = reading;
    this.#meanwhile = [];
    this.isLoading = true;
    this.problem = null;
    this.changed();
    try {
      const page = await api.listSessions({ ...this.#query, limit, cursor: this.#cursor }, reading.signal);
      if (reading.signal.aborted) return;
      take(page.sessions);
      this.total = page.total;
      this.#cursor = page.next_cursor;
      this.#readTo = this.hasMore ? page.sessions.at(-1).updated_at : "";
      const meanwhile = this.#meanwhile.splice(0);
      for (const change of meanwhile) change();
      if (!this.hasMore) this.total = this.rows.length;
      else if (meanwhile.length) this.#countAnew();
    } catch (error) {
      if (reading.signal.aborted) return; // whatever it is, nobody waits for it any more
      this.problem = error;
    } finally {
      if (this.#reading === reading) {
        this.isLoading = false;
        this.changed();
      }
    }
  }

  get isFiltered() {
    return Object.entries(UNFILTERED).some(([name, value]) => this.filter[name] !== value);
  }

  choose(filter = UNFILTERED) {
    this.filter = { ...this.filter, ...filter };
    this.selected.clear();
    this.rows = [];
    return this.load();
  }

  find(key) {
    return this.rows.find((row) => row.id === key) ?? (this.opened?.id === key ? this.opened : undefined);
  }

  /** Keeps the session that is open, which need not be in the list; asks for it when it is not known. */
  async open(key) {
    this.#wanted = key;
    this.opened = this.find(key) ?? null;
    if (!this.opened) await this.#ask();
  }

  /** Reads anew what is shown: nobody can tell what happened to it. */
  async refresh() {
    await Promise.all([this.load(), this.#wanted && this.#ask()]);
  }

  async #ask() {
    const [key, before] = [this.#wanted, this.opened];
    const one = await api.getSession(key).catch(() => null); // whoever reads its messages says why not
    if (!one || this.opened !== before || this.#wanted !== key) return; // the feed was faster, or the reader went on
    const updated_at = new Date(one.updated_at * 1000).toISOString();
    this.opened = { ...one, id: one.key, message_count: one.total_message_count, updated_at };
    this.changed();
  }

  /** Puts a session where it belongs now, or takes it out. */
  put(row) {
    if (this.isLoading) this.#meanwhile.push(() => this.#place(row));
    this.#place(row);
    this.changed();
  }

  remove(key) {
    if (this.isLoading) this.#meanwhile.push(() => this.#drop(key));
    this.#drop(key);
    this.changed();
  }

  #place(row) {
    if (this.#wanted === row.id) this.opened = row;
    const wasHere = this.#take(row.id);
    const after = this.rows.findIndex((other) => other.updated_at < row.updated_at);
    if (this.#matches(row) && row.updated_at >= this.#readTo) {
      this.rows.splice(after < 0 ? this.rows.length : after, 0, row);
    }
    this.total += Number(this.#matches(row)) - Number(wasHere);
    if (!wasHere) this.#countAnew();
    this.rows = [...this.rows];
  }

  #drop(key) {
    if (this.#wanted === key) this.opened = this.#wanted = null;
    this.selected.delete(key);
    const wasHere = this.#take(key);
    this.total -= Number(wasHere);
    if (!wasHere) this.#countAnew();
    this.rows = [...this.rows];
  }

  toggle(key) {
    if (!this.selected.delete(key)) this.selected.add(key);
    this.changed();
  }

  /** Asks how many there are, once for many changes: to what is not read yet they may or may not make a difference. */
  #countAnew() {
    if (!this.hasMore || this.#counting) return;
    this.#counting = setTimeout(async () => {
      this.#counting = null;
      const { filter, rows } = this;
      const page = await api.listSessions({ ...this.#query, limit: 1 }).catch(() => null);
      if (!page || filter !== this.filter || !this.hasMore) return;
      this.total = page.total;
      this.changed();
      if (rows !== this.rows) this.#countAnew(); // this count may be from before what came meanwhile
    }, COUNT_PAUSE_MS);
  }

  #take(key) {
    const at = this.rows.findIndex((row) => row.id === key);
    if (at >= 0) this.rows.splice(at, 1);
    return at >= 0;
  }

  get #query() {
    const { channel, tag, state, from, until } = this.filter;
    const days = { updated_after: dayStart(from)?.toISOString(), updated_before: dayStart(until, 1)?.toISOString() };
    return { channel, tag, ...STATES[state], ...days };
  }

  #matches(row) {
    const { channel, tag, state, from, until } = this.filter;
    const { archived, pinned } = STATES[state];
    const at = new Date(row.updated_at);
    return (
      (archived === "all" || String(row.archived) === archived) &&
      (!pinned || row.pinned) &&
      (!channel || row.channel === channel) &&
      (!tag || row.tags.includes(tag)) &&
      (!from || at >= dayStart(from)) &&
      (!until || at < dayStart(until, 1))
    );
  }
}

/** When a day begins in the reader's zone, or one some days later; null for none. */
function dayStart(day, later = 0) {
  if (!day) return null;
  const start = new Date(`${day}T00:00`);
  start.setDate(start.getDate() + later);
  return start;
}

export const sessions = new SessionList();
