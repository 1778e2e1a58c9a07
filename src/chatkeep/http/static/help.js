// The keys, and the sheet that tells them.

import { html } from "./vendor/preact.js";
import * as actions from "./actions.js";
import { icon } from "./icons.js";
import { askTags, dialog } from "./menu.js";
import { renaming } from "./renaming.js";
import { go, place, sessionLink } from "./routes.js";
import { openSearch } from "./search.js";
import { sessions } from "./sessions.js";

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
      <p class="aside">What changes a session changes the one that has the focus in the list, else the open one.</p>
      <dl>${SHEET.map(([key, words]) => html`<div><dt><kbd>${key}</kbd></dt><dd>${words}</dd></div>`)}</dl>
    </div>
  `;
  dialog.open({ kind: "small", label: "Keyboard", body });
}

function step(by) {
  const rows = sessions.shown;
  if (!rows.length) return;
  const at = rows.findIndex((row) => row.id === place.key);
  const next = at < 0 ? 0 : Math.min(rows.length - 1, Math.max(0, at + by));
  go(sessionLink(rows[next].id));
}

/** Acts on the session that has the focus in the list, else on the one that is open. */
const onRow = (act) => () => {
  const key = document.activeElement.closest(".row")?.dataset.key;
  const row = sessions.find(key ?? place.key);
  if (row) act(row, key ? "list" : "head");
};

const rename = onRow((row, where) => renaming.begin(where, row));

const KEYS = {
  "/": openSearch,
  "?": openHelp,
  j: () => step(1),
  k: () => step(-1),
  f: () => dispatchEvent(new Event("chatkeep:find")),
  g: () => place.key && go(sessionLink(place.key, 1)),
  G: () => place.key && go(sessionLink(place.key)),
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

/** Acts on keys until what it returns is called. */
export function listenToKeys() {
  const listen = (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
      event.preventDefault();
      openSearch();
      return;
    }
    const isOurs = !event.ctrlKey && !event.metaKey && !event.altKey && !event.isComposing;
    const act = KEYS[event.key];
    if (!act || !isOurs || dialog.content || event.target.closest?.(WRITING)) return;
    event.preventDefault();
    act();
  };
  addEventListener("keydown", listen);
  return () => removeEventListener("keydown", listen);
}
