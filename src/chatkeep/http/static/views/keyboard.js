// The keys, and the sheet that lists them.

import * as actions from "../state/actions.js";
import { dialog } from "../state/dialog.js";
import { renaming } from "../state/renaming.js";
import { go, route, sessionLink } from "../state/route.js";
import { sessions } from "../state/sessions.js";
import { html } from "../vendor/preact.js";
import { askTags } from "./dialog.js";
import { icon } from "./icons.js";
import { openSearch } from "./search.js";

/** @typedef {import("../state/renaming.js").Place} Place */

const SHEET = [
  ["/ or Ctrl K", "Search all messages"],
  ["j / k", "Next or previous session"],
  ["f", "Find in this session, or jump to a day"],
  ["g / G", "Beginning or end of this session"],
  ["r or F2", "Rename"],
  ["p", "Pin or unpin"],
  ["t", "Tags"],
  ["e", "Archive, or back to the list"],
  ["x", "Select for actions on several"],
  ["Delete", "Delete; there is time to undo"],
  ["n", "New chat"],
  ["h", "Overview"],
  ["Esc", "Close, or back to the list"],
  ["?", "This sheet"],
];

export function openHelp() {
  const body = html`
    <div class="sheet">
      <header><h2>Keyboard</h2><button class="quiet" aria-label="Close" onClick=${dialog.close}>${icon("close")}</button></header>
      <p class="aside">Keys that change a session change the one that has the focus in the list, else the open one.</p>
      <dl>${SHEET.map(([key, words]) => html`<div><dt><kbd>${key}</kbd></dt><dd>${words}</dd></div>`)}</dl>
    </div>
  `;
  dialog.open({ kind: "small", label: "Keyboard", body });
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
  j: () => step(1),
  k: () => step(-1),
  f: () => dispatchEvent(new Event("chatkeep:find")),
  g: () => route.key && go(sessionLink(route.key, 1)),
  G: () => route.key && go(sessionLink(route.key)),
  r: rename,
  F2: rename,
  p: onRow(actions.pin),
  t: onRow(askTags),
  e: onRow((row) => actions.archive([row], !row.archived)),
  x: onRow((row) => sessions.toggle(row.id)),
  Delete: onRow((row) => actions.remove([row])),
  n: () => go("#/new"),
  h: () => go("#/overview"),
  Escape: () => go("#/"),
};

const WRITING = "input:not([type=checkbox]), textarea, select, [contenteditable]";

/** Acts on keys until the function that this returns is called. */
export function listenToKeys() {
  const listen = (/** @type {KeyboardEvent} */ event) => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
      event.preventDefault();
      openSearch();
      return;
    }
    const isOurs = !event.ctrlKey && !event.metaKey && !event.altKey && !event.isComposing;
    const act = KEYS[event.key];
    if (!act || !isOurs || dialog.content) return;
    if (event.target instanceof Element && event.target.closest(WRITING)) return;
    event.preventDefault();
    act();
  };
  addEventListener("keydown", listen);
  return () => removeEventListener("keydown", listen);
}
