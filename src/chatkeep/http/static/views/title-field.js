// A title as a field, in the list or in the head of a session.

import { renaming } from "../state/renaming.js";
import { words } from "../text/words.js";
import { html, useLayoutEffect, useRef } from "../vendor/preact.js";
import { useObserved } from "./hooks.js";

/** The title as a field: Enter saves, Escape leaves it as it was, and so does leaving it unchanged. */
export function TitleField() {
  const { row, text, problem } = useObserved(renaming);
  /** @type {import("../vendor/preact.js").Ref<HTMLInputElement>} */
  const field = useRef();
  useLayoutEffect(() => {
    const home = renaming.place === "list" ? `.row[data-key="${CSS.escape(row?.id ?? "")}"] a` : ".rename";
    field.current.focus();
    field.current.select();
    const goHome = () => {
      const element = document.querySelector(home);
      if (document.activeElement === document.body && element instanceof HTMLElement) element.focus();
    };
    return () => void requestAnimationFrame(goHome);
  }, []);
  const steer = (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "Escape") renaming.end();
    else if (event.key === "Enter" && !event.isComposing) renaming.save();
    else return;
    event.preventDefault();
  };
  const leave = () =>
    queueMicrotask(() => {
      const isLeft = document.activeElement !== field.current; // a row that is moved gets its focus back
      if (isLeft && renaming.row === row && text === (row?.user_title ?? row?.title)) renaming.end();
    });
  return html`
    <input
      class="title-field" aria-label=${words.title} aria-invalid=${problem ? "true" : undefined} aria-describedby=${problem ? "title-problem" : undefined}
      placeholder=${words.titleEmpty} autocomplete="off" dir="auto" ref=${field} value=${text}
      onInput=${(/** @type {import("../vendor/preact.js").TemplateEvent} */ event) => renaming.write(event.target.value)} onKeyDown=${steer} onBlur=${leave}
    />
    ${problem && html`<span id="title-problem" class="title-problem" role="alert">${problem}</span>`}
  `;
}
