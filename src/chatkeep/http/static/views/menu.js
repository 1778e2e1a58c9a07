// The menu of a session.

import * as actions from "../state/actions.js";
import { dialog } from "../state/dialog.js";
import { renaming } from "../state/renaming.js";
import { savePage } from "../state/saved-page.js";
import { words } from "../text/words.js";
import { html } from "../vendor/preact.js";
import { arrowStep } from "./hooks.js";
import { icon } from "./icons.js";
import { askTags } from "./tags.js";

/** @typedef {import("../state/renaming.js").Place} Place */
/** @typedef {[icon: string, name: string, key: string, act: () => void]} Entry */

/**
 * Returns the entries for one session; it is renamed where the menu was opened.
 * @param {actions.SessionRow} row
 * @param {Place} place
 * @returns {Entry[]}
 */
function entriesFor(row, place) {
  return [
    ["edit", words.rename, "r", () => renaming.begin(place, row)],
    ["pin", row.pinned ? words.unpin : words.pin, "p", () => actions.pin([row])],
    ["tag", words.tags, "t", () => askTags([row])],
    ["archive", row.archived ? words.unarchive : words.archive, "e", () => actions.archive([row], !row.archived)],
    ["save", words.saveAsPage, "", () => savePage(row)],
    ["save", words.saveAsMarkdown, "", () => actions.save([row], "md")],
    ["save", words.saveAsJson, "", () => actions.save([row], "json")],
    ["trash", words.delete, words.deleteKey, () => actions.remove([row])],
  ];
}

/**
 * Opens the menu of a session beside a button.
 * @param {Element} button
 * @param {actions.SessionRow} row
 * @param {Place} place
 */
export function openMenu(button, row, place) {
  const opener = document.activeElement;
  const choose = (/** @type {() => void} */ act) => () => {
    dialog.close();
    if (opener instanceof HTMLElement) opener.focus();
    act();
  };
  const walk = (/** @type {import("../vendor/preact.js").TemplateEvent} */ event) => {
    const step = arrowStep(event.key);
    if (!step) return;
    event.preventDefault();
    const items = [...event.currentTarget.querySelectorAll("button")];
    const at = items.findIndex((item) => item === document.activeElement);
    items[(at + step + items.length) % items.length]?.focus();
  };
  const { bottom, right } = button.getBoundingClientRect();
  const corner = { top: `${Math.min(bottom + 4, innerHeight - 340)}px`, left: `${Math.max(8, right - 232)}px` };
  const body = html`
    <div class="menu" role="menu" aria-label=${words.actionsFor(row.title)} style=${corner} onKeyDown=${walk}>
      ${entriesFor(row, place).map(
        ([drawing, name, key, act]) => html`
          <button role="menuitem" onClick=${choose(act)}>${icon(drawing)}<span>${name}</span>${key && html`<kbd>${key}</kbd>`}</button>
        `,
      )}
    </div>
  `;
  dialog.open({ kind: "over", label: words.actions, body });
}
