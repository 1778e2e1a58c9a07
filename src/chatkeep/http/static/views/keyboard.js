// The keys, and the sheet that lists them.

import * as actions from "../state/actions.js";
import { dialog } from "../state/dialog.js";
import { layers } from "../state/layers.js";
import { notices } from "../state/notices.js";
import { renaming } from "../state/renaming.js";
import { go, route, sessionLink } from "../state/route.js";
import { sessions } from "../state/sessions.js";
import { words } from "../text/words.js";
import { html } from "../vendor/preact.js";
import { icon } from "./icons.js";
import { openSearch } from "./search.js";
import { openSettings } from "./settings.js";
import { askTags } from "./tags.js";

/** @typedef {import("../state/renaming.js").Place} Place */

export function openHelp() {
  const body = html`
    <div class="sheet">
      <header><h2>${words.keyboard}</h2><button class="quiet" aria-label=${words.close} onClick=${dialog.close}>${icon("close")}</button></header>
      <p class="aside">${words.keysHint}</p>
      <dl>${words.keySheet.map(([key, act]) => html`<div><dt><kbd>${key}</kbd></dt><dd>${act}</dd></div>`)}</dl>
    </div>
  `;
  dialog.open({ kind: "small", label: words.keyboard, body });
}

/** @param {1 | -1} by */
function step(by) {
  const rows = sessions.shown;
  if (!rows.length) return;
  const at = rows.findIndex((row) => row.id === route.key);
  const next = at < 0 ? 0 : Math.min(rows.length - 1, Math.max(0, at + by));
  const row = rows[next];
  if (row) go(sessionLink(row.id));
}

/**
 * Returns a function that acts on the session that has the focus in the list, else on the one that is open.
 * @param {(row: actions.SessionRow, place: Place) => unknown} act
 */
const onRow = (act) => () => {
  const focused = document.activeElement?.closest(".row");
  const key = focused instanceof HTMLElement ? focused.dataset.key : null;
  const row = sessions.find(key ?? route.key);
  if (row) act(row, key ? "list" : "head");
};

const rename = onRow((row, place) => renaming.begin(place, row));

/** @type {Record<string, () => unknown>} */
const KEYS = {
  "/": openSearch,
  "?": openHelp,
  ",": openSettings,
  j: () => step(1),
  k: () => step(-1),
  f: () => layers.ask("find"),
  d: () => layers.ask("details"),
  g: () => route.key && go(sessionLink(route.key, 1)),
  G: () => route.key && go(sessionLink(route.key)),
  r: rename,
  F2: rename,
  p: onRow((row) => actions.pin([row])),
  t: onRow((row) => askTags([row])),
  e: onRow((row) => actions.archive([row], !row.archived)),
  x: onRow((row) => sessions.toggle(row.id)),
  X: onRow((row) => sessions.toggle(row.id, { isRange: true })),
  A: () => sessions.selectAll(),
  Delete: onRow((row) => actions.remove([row])),
  n: () => go("#/new"),
  h: () => go("#/overview"),
  Escape: () => layers.close() || go("#/"),
};

const WRITING = "input:not([type=checkbox]), textarea, select, [contenteditable]";

/**
 * Returns what a key does, also those with Ctrl or Command; undefined where it is the browser's.
 * @param {KeyboardEvent} event
 */
function actOf(event) {
  if (event.altKey || event.isComposing) return undefined;
  const isWriting = event.target instanceof Element && event.target.closest(WRITING);
  if (event.ctrlKey || event.metaKey) {
    const key = event.key.toLowerCase();
    if (key === "k") return openSearch;
    return key === "z" && !isWriting && !event.shiftKey ? () => notices.undo() : undefined;
  }
  if (dialog.content || isWriting || (event.repeat && event.key === "Escape")) return undefined;
  return KEYS[event.key];
}

/** Acts on keys until the function that this returns is called. */
export function listenToKeys() {
  const listen = (/** @type {KeyboardEvent} */ event) => {
    const act = actOf(event);
    if (!act) return;
    event.preventDefault();
    act();
  };
  addEventListener("keydown", listen);
  return () => removeEventListener("keydown", listen);
}
