// What changes on the server, taken into the list, and passed on to the session that is open.

import { followChanges } from "../wire/changes.js";
import { connection } from "./connection.js";
import { route } from "./route.js";
import { sessions } from "./sessions.js";

/**
 * @typedef {[number, number][]} Drops the seqs that no longer stand, as ranges
 * @typedef {(key: string | null, isGone: boolean, drops: Drops) => void} Listener gets the session that changed, or is gone
 */

/** @type {Set<Listener>} */
const listeners = new Set();

/**
 * Calls a function whenever a session changes, until the function that this returns is called.
 * @param {Listener} listener
 */
export function listen(listener) {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

/**
 * Keeps the list true until the function that this returns is called.
 * @param {() => void} leave what to do when the server signed the browser out
 */
export const follow = (leave) => followChanges((name, data) => take(name, data, leave));

/**
 * @param {string} name
 * @param {import("../wire/changes.js").Change} data
 * @param {() => void} leave
 */
function take(name, data, leave) {
  if (name === "signed out") return leave();
  if (name === "away") return connection.tell(true);
  if (name === "back") {
    if (!connection.isAway) return;
    connection.tell(false);
    if (sessions.problem) sessions.again();
  } else if (name === "again") sessions.refresh();
  else if (data.session) sessions.put(data.session);
  else if (data.key) sessions.remove(data.key);
  for (const listener of listeners) listener(data.key ?? route.key, name === "deleted", data.drops ?? []);
}
