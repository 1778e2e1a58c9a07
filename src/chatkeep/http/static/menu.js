// The menu of a session, and the small dialogs it opens.

import { html, useLayoutEffect, useRef } from "./vendor/preact.js";
import * as actions from "./actions.js";
import { icon } from "./icons.js";
import { Model, useModel } from "./model.js";
import { renaming } from "./renaming.js";

class Dialog extends Model {
  content = null;

  open(content) {
    this.content = content;
    this.changed();
  }

  close = () => this.open(null);
}

export const dialog = new Dialog();

/** Shows what is opened in `dialog`; Escape and a click beside it close it. */
export function DialogStage() {
  const { content } = useModel(dialog);
  const box = useRef();
  useLayoutEffect(() => {
    if (content && !box.current.open) box.current.showModal();
    if (!content && box.current.open) box.current.close();
  }, [content]);
  const ended = () => !box.current.open && dialog.close(); // it is told late: the next one may be open by then
  const beside = (event) => event.target === box.current && dialog.close();
  return html`<dialog ref=${box} class=${content?.kind ?? ""} aria-label=${content?.label ?? "Dialog"} onClose=${ended} onClick=${beside}>
    ${content?.body}
  </dialog>`;
}

/** Asks for a line of text, and hands it over unless it was called off. */
export function askText({ label, hint, text }, take) {
  const submit = (event) => {
    event.preventDefault();
    const given = new FormData(event.target).get("text").trim();
    dialog.close();
    take(given);
  };
  const body = html`
    <form class="ask" onSubmit=${submit}>
      <label>${label}<input name="text" value=${text} maxlength="5000" autocomplete="off" dir="auto" autofocus /></label>
      ${hint && html`<p class="aside">${hint}</p>`}
      <footer>
        <button type="button" onClick=${dialog.close}>Cancel</button>
        <button class="strong">Save</button>
      </footer>
    </form>
  `;
  dialog.open({ kind: "small", label, body });
}

export function askTags(row) {
  const before = row.tags.join(", ");
  askText({ label: "Tags", hint: "Separated by commas.", text: before }, (text) => {
    if (text === before) return; // a tag from elsewhere may have a comma in it
    const tags = [...new Set(text.split(/[,，、]/).map((tag) => tag.trim()).filter(Boolean))];
    actions.revise(row, { tags });
  });
}

/** The entries for one session, as [icon, words, key, what it does]; it is renamed where the menu was opened. */
function entries(row, place) {
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

/** Opens the menu of a session beside a button. */
export function openMenu(button, row, place) {
  const opener = document.activeElement;
  const choose = (act) => () => {
    dialog.close();
    opener?.focus?.();
    act();
  };
  const walk = (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const items = [...event.currentTarget.querySelectorAll("button")];
    const at = items.indexOf(document.activeElement);
    items[(at + step + items.length) % items.length].focus();
  };
  const { bottom, right } = button.getBoundingClientRect();
  const corner = { top: `${Math.min(bottom + 4, innerHeight - 300)}px`, left: `${Math.max(8, right - 232)}px` };
  const body = html`
    <div class="menu" role="menu" aria-label=${`Actions for ${row.title}`} style=${corner} onKeyDown=${walk}>
      ${entries(row, place).map(
        ([drawing, words, key, act]) => html`
          <button role="menuitem" onClick=${choose(act)}>${icon(drawing)}<span>${words}</span>${key && html`<kbd>${key}</kbd>`}</button>
        `,
      )}
    </div>
  `;
  dialog.open({ kind: "over", label: "Actions", body });
}
