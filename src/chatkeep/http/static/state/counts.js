// What the server counts, asked when somebody looks.

import * as api from "../wire/api.js";
import { Observable } from "./observable.js";

const FRESH_MS = 30_000;

class Counts extends Observable {
  /** @type {api.Stats | null} */
  stats = null;
  /** @type {api.Problem | null} */
  problem = null;
  #askedAt = -Infinity;

  /** Asks anew, unless the counts are less than half a minute old. */
  async load() {
    if (performance.now() - this.#askedAt < FRESH_MS) return;
    const askedAt = (this.#askedAt = performance.now());
    try {
      const stats = await api.stats();
      if (askedAt !== this.#askedAt) return; // asked again meanwhile
      this.stats = stats;
      this.problem = null;
    } catch (error) {
      if (askedAt !== this.#askedAt) return;
      this.#askedAt = -Infinity;
      this.problem = api.problemOf(error);
    }
    this.changed();
  }

  /** Asks anew at once, if anybody has looked: the reader has changed what is counted. */
  async again() {
    if (this.#askedAt === -Infinity) return;
    this.#askedAt = -Infinity;
    await this.load();
  }
}

export const counts = new Counts();

class DayCounts extends Observable {
  /** @type {api.Period[] | null} */
  periods = null;

  /**
   * Asks for the days since one, as "2026-01-31"; where nobody answers, the days are not shown.
   * @param {string} since
   */
  async load(since) {
    const found = await api.statsByDay(since).catch(() => null);
    if (!found) return;
    this.periods = found.periods;
    this.changed();
  }
}

export const dayCounts = new DayCounts();
