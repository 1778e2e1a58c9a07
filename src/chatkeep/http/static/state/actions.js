// Actions on sessions. The list shows each at once; a refusal puts it back and says why.

import * as api from "../wire/api.js";
import { notices } from "./notices.js";
import { go, route } from "./route.js";
import { sessions } from "./sessions.js";

const GRACE_MS = 6000;

/** @typedef {api.SessionRow} SessionRow */
/** @typedef {Partial<Pick<SessionRow, "pinned" | "archived" | "tags">>} Marks */

/**
 * Changes marks or tags of a session; returns whether the server agreed.
 * @param {SessionRow} row
 * @param {Marks} change
 */
export async function revise(row, change) {
  const now = () => sessions.find(row.id) ?? row; // the feed may have brought more since
  const before = { ...now() };
  sessions.put({ ...now(), ...change });
  try {
    await api.reviseSession(row.id, change);
    return true;
  } catch (error) {
    if (api.problemOf(error).status === 404) sessions.remove(row.id);
    else sessions.put({ ...now(), ...undone(change, before) });
    notices.complain(error);
    return false;
  }
}

/**
 * Returns what undoes a change of a session.
 * @param {Marks} change
 * @param {SessionRow} before
 * @returns {Marks}
 */
function undone(change, { pinned, archived, tags }) {
  return {
    ...(change.pinned !== undefined && { pinned }),
    ...(change.archived !== undefined && { archived }),
    ...(change.tags !== undefined && { tags }),
  };
}

/** @param {SessionRow} row */
export const pin = (row) => revise(row, { pinned: !row.pinned });

/**
 * Archives sessions, or brings them back to the list.
 * @param {SessionRow[]} rows
 * @param {boolean} archived
 */
export async function archive(rows, archived) {
  const all = await Promise.all(rows.map((row) => revise(row, { archived })));
  if (!all.some(Boolean)) return;
  const undo = () => {
    away();
    for (const row of rows) revise({ ...row, archived }, { archived: !archived });
  };
  const away = notices.say(`${archived ? "Archived" : "Back in the list"}: ${named(rows)}`, { undo });
}

/** @type {Set<(keepalive?: boolean) => Promise<void>>} */
const pending = new Set();

/**
 * Hides sessions, and deletes them when the time to undo it is over.
 * @param {SessionRow[]} rows
 */
export function remove(rows) {
  const keys = rows.map((row) => row.id);
  for (const key of keys) sessions.hidden.add(key);
  if (keys.includes(route.key ?? "")) go("#/", { replace: true });
  sessions.changed();
  const show = () => {
    for (const key of keys) sessions.hidden.delete(key);
    sessions.changed();
  };
  const deletion = async (keepalive = false) => {
    pending.delete(deletion);
    clearTimeout(timer);
    try {
      await api.deleteSessions(keys, keepalive);
      for (const key of keys) sessions.remove(key);
    } catch (error) {
      notices.complain(error);
    }
    show();
  };
  const undo = () => {
    pending.delete(deletion);
    clearTimeout(timer);
    away();
    show();
  };
  const timer = setTimeout(deletion, GRACE_MS);
  pending.add(deletion);
  const away = notices.say(`Deleted: ${named(rows)}`, { undo, shown_ms: GRACE_MS });
}

// A reader who leaves meant it: the deletions under way are sent.
addEventListener("pagehide", () => pending.forEach((deletion) => deletion(true)));

/**
 * Downloads sessions: one in a format, several as lines of JSON in one file.
 * @param {SessionRow[]} rows
 * @param {"md" | "json" | "jsonl"} format
 */
export async function save(rows, format) {
  try {
    const parts = [];
    for (const row of rows) parts.push(await api.exportSession(row.id, format));
    const [one] = rows;
    const name = one && rows.length === 1 ? one.id.replace(/[^\p{L}\p{N}._-]+/gu, "-") : "sessions";
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob(parts));
    link.download = `${name}.${format}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  } catch (error) {
    notices.complain(error);
  }
}

/**
 * Puts text on the clipboard; `what` names it in the notice.
 * @param {string} text
 * @param {string} what
 */
export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    notices.say(`Copied ${what}`, { shown_ms: 2000 });
  } catch {
    notices.say("The browser did not allow copying.", { kind: "problem" });
  }
}

/** @param {SessionRow[]} rows */
const named = (rows) => (rows.length === 1 && rows[0] ? rows[0].title : `${rows.length} sessions`);
