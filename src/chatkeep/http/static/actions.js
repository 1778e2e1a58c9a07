// What one can do with sessions. The list shows it at once; a refusal puts it back and says why.

import * as api from "./api.js";
import { notices } from "./notices.js";
import { go, place } from "./routes.js";
import { sessions } from "./sessions.js";

const GRACE_MS = 6000;

/** Changes marks or tags of a session; tells whether the server agreed. */
export async function revise(row, change) {
  const now = () => sessions.find(row.id) ?? row; // the feed may have told more since
  const before = Object.fromEntries(Object.keys(change).map((name) => [name, now()[name]]));
  sessions.put({ ...now(), ...change });
  try {
    await api.reviseSession(row.id, change);
    return true;
  } catch (error) {
    if (error.status === 404) sessions.remove(row.id);
    else sessions.put({ ...now(), ...before });
    notices.complain(error);
    return false;
  }
}

export const pin = (row) => revise(row, { pinned: !row.pinned });

export async function archive(rows, archived) {
  const all = await Promise.all(rows.map((row) => revise(row, { archived })));
  if (!all.some(Boolean)) return;
  const undo = () => {
    away();
    for (const row of rows) revise({ ...row, archived }, { archived: !archived });
  };
  const away = notices.say(`${archived ? "Archived" : "Back in the list"}: ${named(rows)}`, { undo });
}

const pending = new Set();

/** Hides sessions, and deletes them when the time to undo it is over. */
export function remove(rows) {
  const keys = rows.map((row) => row.id);
  for (const key of keys) sessions.hidden.add(key);
  if (keys.includes(place.key)) go("#/", { replace: true });
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

// Who leaves meant what was said: the deletions under way are sent.
addEventListener("pagehide", () => pending.forEach((deletion) => deletion(true)));

/** Downloads sessions: one in a format, several as lines of JSON in one file. */
export async function save(rows, format) {
  try {
    const parts = [];
    for (const row of rows) parts.push(await api.exportSession(row.id, format));
    const name = rows.length === 1 ? rows[0].id.replace(/[^\p{L}\p{N}._-]+/gu, "-") : "sessions";
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob(parts));
    link.download = `${name}.${format}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  } catch (error) {
    notices.complain(error);
  }
}

export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    notices.say(`Copied ${what}`, { shown_ms: 2000 });
  } catch {
    notices.say("The browser did not allow copying.", { kind: "problem" });
  }
}

const named = (rows) => (rows.length === 1 ? rows[0].title : `${rows.length} sessions`);
