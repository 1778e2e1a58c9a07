// The sessions that match a filter, pinned ones first, then by newest activity: read page by page, kept true by the feed.

import * as api from "../wire/api.js";
import { Observable } from "./observable.js";

const FIRST_PAGE = 50;
const NEXT_PAGE = 500;
const PINNED_MAX = 200; // are at the top; others stand where their time puts them
const SELECTED_MAX = 5000; // are read to select all
const COUNT_PAUSE_MS = 500;
/** @typedef {api.SessionRow} SessionRow */
/** @typedef {"current" | "pinned" | "archived" | "all"} State */
/** @typedef {{ channel: string, state: State, tag: string, from: string, until: string }} Filter */

/** @type {Filter} */
const UNFILTERED = { channel: "", state: "current", tag: "", from: "", until: "" };
/** @type {Record<State, { archived: string, pinned?: string }>} */
const STATES = {
  current: { archived: "false" },
  pinned: { archived: "false", pinned: "true" },
  archived: { archived: "true" },
  all: { archived: "all" },
};

export class SessionList extends Observable {
  /** Days are those of the reader's zone, as inputs give them; `until` is the last one. */
  filter = UNFILTERED;
  /** @type {SessionRow[]} */
  rows = [];
  total = 0;
  unreadable = 0; // files that cannot be read, where no session can
  /** @type {api.Problem | null} */
  problem = null;
  isLoading = false;
  /** @type {Set<string>} */
  selected = new Set();
  /** @type {string | null} */
  #toggled = null; // the session that was selected last
  /** @type {SessionRow | null} */
  opened = null;
  /** @type {string | null} */
  #wanted = null; // the key of the session that is open, or will be when it is here
  /** @type {Set<string>} the keys of sessions that are deleted for the reader, but not yet on the server */
  hidden = new Set();
  /** @type {string | null} */
  #cursor = null;
  #readTo = ""; // the time of the last session before the cursor; an older one comes with a later page
  /** @type {AbortController | null} */
  #reading = null;
  /** @type {(() => void)[]} */
  #meanwhile = []; // changes while a page is read, which may be from before them
  /** @type {ReturnType<typeof setTimeout> | null} */
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
    await this.#read(
      FIRST_PAGE,
      (page, pinned) => {
        const known = keysOf(pinned);
        this.rows = [...pinned, ...page.filter((row) => !known.has(row.id))];
      },
      (signal) => this.#pinned(signal),
    );
  }

  /** @param {AbortSignal} signal */
  async #pinned(signal) {
    if (this.filter.state === "pinned") return [];
    const page = await api.listSessions({ ...this.#query, pinned: "true", limit: PINNED_MAX }, signal);
    return page.sessions;
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
      const known = keysOf(this.rows);
      this.rows = this.rows.concat(rows.filter((row) => !known.has(row.id)));
    });
  }

  /**
   * @param {number} limit
   * @param {(rows: SessionRow[], others: SessionRow[]) => unknown} take
   * @param {(signal: AbortSignal) => Promise<SessionRow[]>} [ask] asks for others at the same time
   */
  async #read(limit, take, ask = async () => []) {
    const reading = new AbortController();
    this.#reading = reading;
    this.#meanwhile = [];
    this.isLoading = true;
    this.problem = null;
    this.changed();
    try {
      const asked = api.listSessions({ ...this.#query, limit, cursor: this.#cursor }, reading.signal);
      const [page, others] = await Promise.all([asked, ask(reading.signal)]);
      if (reading.signal.aborted) return;
      take(page.sessions, others);
      this.total = page.total;
      this.unreadable = page.unreadable ?? 0;
      this.#cursor = page.next_cursor;
      this.#readTo = this.hasMore ? page.sessions.at(-1)?.updated_at ?? "" : "";
      const meanwhile = this.#meanwhile.splice(0);
      for (const change of meanwhile) change();
      if (!this.hasMore) this.total = this.rows.length;
      else if (meanwhile.length) this.#countAnew();
    } catch (error) {
      if (reading.signal.aborted) return; // whatever it is, nobody waits for it any more
      this.problem = api.problemOf(error);
    } finally {
      if (this.#reading === reading) {
        this.isLoading = false;
        this.changed();
      }
    }
  }

  get isFiltered() {
    const names = /** @type {(keyof Filter)[]} */ (Object.keys(UNFILTERED));
    return names.some((name) => this.filter[name] !== UNFILTERED[name]);
  }

  /**
   * Reads the list anew with another filter, by default with none.
   * @param {Partial<Filter>} [filter]
   */
  choose(filter = UNFILTERED) {
    this.filter = { ...this.filter, ...filter };
    this.selected.clear();
    this.rows = [];
    return this.load();
  }

  /**
   * Returns a session that is known, by its key.
   * @param {string | null | undefined} key
   */
  find(key) {
    return this.rows.find((row) => row.id === key) ?? (this.opened && this.opened.id === key ? this.opened : undefined);
  }

  /**
   * Keeps the session that is open, which need not be in the list; asks for it when it is not known.
   * @param {string} key
   */
  async open(key) {
    this.#wanted = key;
    this.opened = this.find(key) ?? null;
    if (!this.opened) await this.#ask();
  }

  /** Reads anew what is shown: nobody can tell what happened to it. */
  async refresh() {
    await Promise.all([this.load(), this.#ask()]);
  }

  async #ask() {
    const [key, before] = [this.#wanted, this.opened];
    if (key === null) return;
    const one = await api.getSession(key).catch(() => null); // whoever reads its messages says why not
    if (!one || this.opened !== before || this.#wanted !== key) return; // the feed was faster, or the reader went on
    const updated_at = new Date(one.updated_at * 1000).toISOString();
    this.opened = { ...one, id: one.key, message_count: one.total_message_count, updated_at };
    this.changed();
  }

  /**
   * Puts a session where it belongs now, or takes it out.
   * @param {SessionRow} row
   */
  put(row) {
    if (this.isLoading) this.#meanwhile.push(() => this.#place(row));
    this.#place(row);
    this.changed();
  }

  /** @param {string} key */
  remove(key) {
    if (this.isLoading) this.#meanwhile.push(() => this.#drop(key));
    this.#drop(key);
    this.changed();
  }

  /** @param {SessionRow} row */
  #place(row) {
    if (this.#wanted === row.id) this.opened = row;
    const wasHere = this.#take(row.id);
    const after = this.rows.findIndex((other) => precedes(row, other));
    if (this.#matches(row) && (row.pinned || row.updated_at >= this.#readTo)) {
      this.rows.splice(after < 0 ? this.rows.length : after, 0, row);
    }
    this.total += Number(this.#matches(row)) - Number(wasHere);
    if (!wasHere) this.#countAnew();
    this.rows = [...this.rows];
  }

  /** @param {string} key */
  #drop(key) {
    if (this.#wanted === key) this.opened = this.#wanted = null;
    this.selected.delete(key);
    const wasHere = this.#take(key);
    this.total -= Number(wasHere);
    if (!wasHere) this.#countAnew();
    this.rows = [...this.rows];
  }

  /**
   * Selects a session, or takes it out. `isRange` brings all sessions between this one and the one before along.
   * @param {string} key
   * @param {{ isRange?: boolean }} [options]
   */
  toggle(key, { isRange = false } = {}) {
    const rows = this.shown;
    const at = (/** @type {string | null} */ sought) => rows.findIndex((row) => row.id === sought);
    const [from, to] = [at(this.#toggled), at(key)].sort((one, other) => one - other);
    if (isRange && from !== undefined && from >= 0) for (const row of rows.slice(from, Number(to) + 1)) this.selected.add(row.id);
    else if (!this.selected.delete(key)) this.selected.add(key);
    this.#toggled = key;
    this.changed();
  }

  /** Selects all that match, as far as they can be read at once. */
  async selectAll() {
    while (this.hasMore && !this.problem && this.rows.length < SELECTED_MAX) {
      if (this.isLoading) await new Promise((done) => setTimeout(done, COUNT_PAUSE_MS));
      else await this.more();
    }
    this.selected = keysOf(this.shown);
    this.changed();
  }

  selectNone() {
    this.selected.clear();
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

  /** @param {string} key */
  #take(key) {
    const at = this.rows.findIndex((row) => row.id === key);
    if (at >= 0) this.rows.splice(at, 1);
    return at >= 0;
  }

  get #query() {
    const { channel, tag, state, from, until } = this.filter;
    const days = {
      updated_after: from && dayStart(from).toISOString(),
      updated_before: until && dayStart(until, 1).toISOString(),
    };
    return { channel, tag, ...STATES[state], ...days };
  }

  /** @param {SessionRow} row */
  #matches(row) {
    const { channel, tag, state, from, until } = this.filter;
    const { archived, pinned } = STATES[state];
    const at = new Date(row.updated_at);
    return (
      (archived === "all" || String(row.archived) === archived) &&
      (!pinned || row.pinned) &&
      (!channel || row.channel === channel) &&
      (!tag || row.tags.includes(tag)) &&
      (!from || +at >= +dayStart(from)) &&
      (!until || +at < +dayStart(until, 1))
    );
  }
}

/** @param {SessionRow[]} rows */
const keysOf = (rows) => new Set(rows.map((row) => row.id));

/** @type {(one: SessionRow, other: SessionRow) => boolean} */
const precedes = (one, other) => (one.pinned === other.pinned ? other.updated_at < one.updated_at : one.pinned);

/**
 * Returns when a day begins in the reader's zone, or one some days later.
 * @param {string} day
 * @param {number} [later]
 */
function dayStart(day, later = 0) {
  const start = new Date(`${day}T00:00`);
  start.setDate(start.getDate() + later);
  return start;
}

export const sessions = new SessionList();
