// Small dialogs. One is open at a time.

import * as actions from "../state/actions.js";
import { dialog } from "../state/dialog.js";
import { html, useLayoutEffect, useRef } from "../vendor/preact.js";
import { useObserved } from "./hooks.js";

/** @template T @typedef {import("../vendor/preact.js").Ref<T>} Ref */

/** Shows the content of `dialog`; Escape and a click beside it close it. */
export function DialogStage() {
  const { content } = useObserved(dialog);
  /** @type {Ref<HTMLDialogElement>} */
  const box = useRef();
  useLayoutEffect(() => {
    if (content && !box.current.open) box.current.showModal();
    if (!content && box.current.open) box.current.close();
  }, [content]);
  const ended = () => !box.current.open && dialog.close(); // this event comes late: the next one may be open by then
  const beside = (/** @type {Event} */ event) => event.target === box.current && dialog.close();
  return html`<dialog ref=${box} class=${content?.kind ?? ""} aria-label=${content?.label ?? "Dialog"} onClose=${ended} onClick=${beside}>
    ${content?.body}
  </dialog>`;
}

/**
 * Asks for a line of text, and passes it on unless the reader cancels.
 * @param {{ label: string, hint: string, text: string }} words
 * @param {(text: string) => void} take
 */
function askText({ label, hint, text }, take) {
  const submit = (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    const given = String(new FormData(/** @type {HTMLFormElement} */ (event.target)).get("text")).trim();
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

/**
 * Asks for the tags of a session, and sets them.
 * @param {actions.SessionRow} row
 */
export function askTags(row) {
  const before = row.tags.join(", ");
  askText({ label: "Tags", hint: "Separated by commas.", text: before }, (text) => {
    if (text === before) return; // a tag from elsewhere may have a comma in it
    const tags = [...new Set(text.split(/[,，、]/).map((tag) => tag.trim()).filter(Boolean))];
    actions.revise(row, { tags });
  });
}
