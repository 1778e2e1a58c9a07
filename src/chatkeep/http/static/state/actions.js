// Actions on sessions. The list shows each at once; a refusal puts it back and says why.

import { words } from "../text/words.js";
import * as api from "../wire/api.js";
import { counts } from "./counts.js";
import { notices } from "./notices.js";
import { go, route, sessionLink } from "./route.js";
import { sessions } from "./sessions.js";

const GRACE_MS = 6000;
const AT_ONCE = 8; // requests for many sessions that are under way at a time

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

/**
 * Changes many sessions, a few at a time; returns those that the server agreed to. The first refusal ends it.
 * @param {SessionRow[]} rows
 * @param {(row: SessionRow) => Marks} change
 */
async function reviseAll(rows, change) {
  const waiting = [...rows];
  /** @type {SessionRow[]} */
  const done = [];
  const work = async () => {
    for (let row = waiting.shift(); row; row = waiting.shift()) {
      if (await revise(row, change(row))) done.push(row);
      else waiting.length = 0;
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return done;
}

/**
 * Pins sessions, or unpins them where all are pinned.
 * @param {SessionRow[]} rows
 */
export const pin = (rows) => reviseAll(rows, () => ({ pinned: !rows.every((row) => row.pinned) }));

/**
 * Gives sessions tags, and takes others from them.
 * @param {SessionRow[]} rows
 * @param {{ added: string[], removed: string[] }} change
 */
export async function tag(rows, { added, removed }) {
  const tags = (/** @type {SessionRow} */ row) => [...new Set([...row.tags.filter((one) => !removed.includes(one)), ...added])];
  const done = await reviseAll(rows.filter((row) => `${tags(row)}` !== `${row.tags}`), (row) => ({ tags: tags(row) }));
  if (done.length) counts.again(); // they know the tags to choose from
}

/**
 * Archives sessions, or brings them back to the list.
 * @param {SessionRow[]} rows
 * @param {boolean} archived
 */
export async function archive(rows, archived) {
  const done = await reviseAll(rows.filter((row) => row.archived !== archived), () => ({ archived })); // undone alone, too
  if (!done.length) return;
  const undo = () => {
    away();
    reviseAll(done.map((row) => ({ ...row, archived })), () => ({ archived: !archived }));
  };
  const away = notices.say((archived ? words.archived : words.unarchived)(named(done)), { undo });
}

/** @type {Set<(keepalive?: boolean) => Promise<void>>} */
const pending = new Set();

/**
 * Hides sessions, and deletes them when the time to undo it is over. Undone, the one that was open is open again.
 * @param {SessionRow[]} rows
 */
export function remove(rows) {
  const keys = rows.map((row) => row.id);
  const open = keys.includes(route.key ?? "") ? route.key : null;
  for (const key of keys) {
    sessions.hidden.add(key);
    sessions.selected.delete(key); // what is out of sight is not changed with others
  }
  if (open) go("#/", { replace: true });
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
    if (open && route.screen === "home") go(sessionLink(open), { replace: true });
  };
  const timer = setTimeout(deletion, GRACE_MS);
  pending.add(deletion);
  const away = notices.say(words.deleted(named(rows)), { undo, shown_ms: GRACE_MS });
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
    download(new Blob(parts), `${one && rows.length === 1 ? fileName(one.title) : "sessions"}.${format}`);
  } catch (error) {
    notices.complain(error);
  }
}

/**
 * Hands a file to the browser, to be saved.
 * @param {Blob} file
 * @param {string} name
 */
export function download(file, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(file);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/**
 * Returns a title as the name of a file.
 * @param {string} title
 */
export const fileName = (title) => title.replace(/[^\p{L}\p{M}\p{N}._-]+/gu, "-").replace(/^[-.]+|[-.]+$/g, "").slice(0, 80) || "session";

/**
 * Puts text on the clipboard; `what` names it in the notice.
 * @param {string} text
 * @param {string} what
 */
export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    notices.say(words.copied(what), { shown_ms: 2000 });
  } catch {
    notices.say(words.copyRefused, { kind: "problem" });
  }
}

/** @param {SessionRow[]} rows */
const named = (rows) => (rows.length === 1 && rows[0] ? rows[0].title : words.sessions(rows.length));
