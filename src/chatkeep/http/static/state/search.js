// Searching all sessions, and finding in one.

import * as api from "../wire/api.js";

const DAY_MS = 86_400_000;
const HITS_MAX = 30;
export const PLACES_MAX = 200;

/** @typedef {{ q: string, role: string, sort: "relevance" | "recent", since: string }} Question `since` counts days back */
/** @typedef {{ hits: api.Hit[], mode: "all" | "any", from?: string, cursor?: string | null, elsewhere?: api.Elsewhere | null, problem?: api.Problem }} Answer `from` is the time that "since" meant */

/** The question that was asked last: a search begins with it. */
export const question = {
  /** @type {Question} */
  last: { q: "", role: "", sort: "relevance", since: "" },
};

/**
 * Asks the server; returns null where the signal called it off. `before` is the answer that this one goes on with.
 * @param {Question} asked
 * @param {AbortSignal} signal
 * @param {Answer} [before]
 * @returns {Promise<Answer | null>}
 */
export async function answerTo({ q, role, sort, since }, signal, before = { hits: [], mode: "all" }) {
  if (!q.trim()) return { hits: [], mode: "all" };
  const from = before.from ?? (since && new Date(Date.now() - Number(since) * DAY_MS).toISOString());
  const query = { q, role, sort, since: from, limit: HITS_MAX, cursor: before.cursor };
  try {
    const { sessions, mode, next_cursor: cursor, elsewhere } = await api.searchSessions(query, signal);
    return { hits: [...before.hits, ...sessions], mode: before.mode === "any" ? "any" : mode, from, cursor, elsewhere };
  } catch (error) {
    return signal.aborted ? null : { ...before, problem: api.problemOf(error) };
  }
}

/**
 * Returns the seqs of the messages of one session that match, in order.
 * @param {string} session
 * @param {string} q
 * @param {AbortSignal} signal
 */
export async function seqsOf(session, q, signal) {
  if (!q.trim()) return [];
  const asked = { q, session, role: "any", unit: "message", sort: "recent", limit: PLACES_MAX };
  const { sessions } = await api.searchSessions(asked, signal);
  return sessions.map((hit) => hit.seq).sort((one, other) => one - other);
}

/**
 * Returns the seq of the first message at or after a time, by halves: times rise with the seqs. `last` is a seq to use
 * where the newest message cannot be read.
 * @param {string} session
 * @param {Date} time
 * @param {number} last
 * @param {AbortSignal} signal
 */
export async function seqAt(session, time, last, signal) {
  const newest = await api.readMessages({ session, limit: 1 }, signal);
  let low = 1;
  let high = newest.messages.at(-1)?.seq ?? last;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const { messages } = await api.readMessages({ session, after: middle - 1, limit: 1 }, signal);
    const [first] = messages;
    if (first && new Date(first.timestamp) < time) low = middle + 1;
    else high = middle;
  }
  return low;
}
