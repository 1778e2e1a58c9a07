// The menu of a session.

import * as actions from "../state/actions.js";
import { dialog } from "../state/dialog.js";
import { renaming } from "../state/renaming.js";
import { html } from "../vendor/preact.js";
import { askTags } from "./dialog.js";
import { arrowStep } from "./hooks.js";
import { icon } from "./icons.js";

/** @typedef {import("../state/renaming.js").Place} Place */
/** @typedef {[icon: string, words: string, key: string, act: () => void]} Entry */

/**
 * Returns the entries for one session; it is renamed where the menu was opened.
 * @param {actions.SessionRow} row
 * @param {Place} place
 * @returns {Entry[]}
 */
function entriesFor(row, place) {
  return [
    ["edit", "Rename", "r", () => renaming.begin(place, row)],
    ["pin", row.pinned ? "Unpin" : "Pin", "p", () => actions.pin(row)],
    ["tag", "Tags", "t", () => askTags(row)],
    ["archive", row.archived ? "Back to the list" : "Archive", "e", () => actions.archive([row], !row.archived)],
    ["save", "Save as Markdown", "", () => actions.save([row], "md")],
    ["save", "Save as JSON", "", () => actions.save([row], "json")],
    ["trash", "Delete", "Del", () => actions.remove([row])],
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
  const corner = { top: `${Math.min(bottom + 4, innerHeight - 300)}px`, left: `${Math.max(8, right - 232)}px` };
  const body = html`
    <div class="menu" role="menu" aria-label=${`Actions for ${row.title}`} style=${corner} onKeyDown=${walk}>
      ${entriesFor(row, place).map(
        ([drawing, words, key, act]) => html`
          <button role="menuitem" onClick=${choose(act)}>${icon(drawing)}<span>${words}</span>${key && html`<kbd>${key}</kbd>`}</button>
        `,
      )}
    </div>
  `;
  dialog.open({ kind: "over", label: "Actions", body });
}
