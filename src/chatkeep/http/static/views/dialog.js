// Dialogs. One is open at a time.

import { dialog } from "../state/dialog.js";
import { words } from "../text/words.js";
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
  return html`<dialog ref=${box} class=${content?.kind ?? ""} aria-label=${content?.label ?? words.dialog} onClose=${ended} onClick=${beside}>
    ${content?.body}
  </dialog>`;
}
