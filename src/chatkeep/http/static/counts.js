// What the server counts, asked when somebody looks.

import { useEffect } from "./vendor/preact.js";
import * as api from "./api.js";
import { Model, useModel } from "./model.js";

const FRESH_MS = 30_000;

class Counts extends Model {
  stats = null;
  problem = null;
  #askedAt = -Infinity;

  async load() {
    if (performance.now() - this.#askedAt < FRESH_MS) return;
    this.#askedAt = performance.now();
    try {
      this.stats = await api.stats();
      this.problem = null;
    } catch (problem) {
      this.#askedAt = -Infinity;
      this.problem = problem;
    }
    this.changed();
  }
}

const counts = new Counts();

/** The counts as they were half a minute ago or later; `stats` is null until they are there. */
export function useCounts() {
  useEffect(() => void counts.load(), []);
  return useModel(counts);
}
