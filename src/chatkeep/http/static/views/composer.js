// The place to go on with a session, or begin one, when the server has a model.

import { draftOf, keepDraft } from "../state/drafts.js";
import { go, sessionLink } from "../state/route.js";
import { modelNames } from "../state/status.js";
import { turns } from "../state/turns.js";
import { words } from "../text/words.js";
import { html, useEffect, useRef, useState } from "../vendor/preact.js";
import { useObserved } from "./hooks.js";
import { icon } from "./icons.js";

/** @template T @typedef {import("../vendor/preact.js").Ref<T>} Ref */
/** @typedef {import("../vendor/preact.js").TemplateEvent} TemplateEvent */

/**
 * The place to write in. Without a session a new one begins, and opens. `hasModel` is null until it is known; `follow`
 * reads what was appended.
 * @param {{ session?: string | null, hasModel: boolean | null, follow?: () => Promise<void> }} props
 */
export function Composer({ session = null, hasModel, follow }) {
  useObserved(turns);
  /** @type {Ref<HTMLTextAreaElement | null>} */
  const field = useRef();
  const turn = turns.of(session);
  useEffect(() => void (session || field.current?.focus()), [hasModel]);
  useEffect(() => {
    if (turn && !turn.isAnswering) Promise.resolve(follow?.()).then(() => turns.close(turn));
  }, [turn?.isAnswering]);
  useEffect(() => {
    if (turn?.unsent && field.current && !field.current.value) write(field.current, session, turn.unsent);
  }, [turn?.unsent]);
  if (!hasModel) return session || hasModel === null ? null : html`<${NoModel} />`;
  const send = (/** @type {Event} */ event) => {
    event.preventDefault();
    const message = field.current?.value.trim();
    if (!field.current || !message || turn?.isAnswering) return;
    write(field.current, session, "");
    if (session) go(sessionLink(session), { replace: true }); // the answer comes at the end
    turns.begin(session, message, turns.modelOf(session));
  };
  const steer = (/** @type {TemplateEvent} */ event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    event.target.form.requestSubmit();
  };
  return html`
    <div class="composer">
      ${turn?.problem && html`<p class="warning" role="alert">${turn.problem}</p>`}
      <form onSubmit=${send}>
        <textarea
          ref=${field} rows="2" maxlength="100000" dir="auto" aria-label=${words.message} placeholder=${words.writeMessage} onKeyDown=${steer} defaultValue=${draftOf(session)}
          onInput=${(/** @type {TemplateEvent} */ event) => keepDraft(session, event.target.value)}
        ></textarea>
        <${Models} session=${session} />
        ${turn?.isAnswering
          ? html`<button type="button" aria-label=${words.stop} title=${words.stop} onClick=${() => turn.stop()}>${icon("stop")}</button>`
          : html`<button class="strong" aria-label=${words.send} title=${words.sendHint}>${icon("send")}</button>`}
      </form>
    </div>
  `;
}

/**
 * The choice of a model, where there is one. It holds for the session as long as the tab.
 * @param {{ session: string | null }} props
 */
function Models({ session }) {
  const [names, setNames] = useState(/** @type {string[]} */ ([]));
  useEffect(() => void modelNames().then(setNames), []);
  if (names.length < 2) return html`<span class="models"></span>`;
  return html`
    <span class="models">
      <select aria-label=${words.model} value=${turns.modelOf(session)} onChange=${(/** @type {TemplateEvent} */ event) => turns.choose(session, event.target.value)}>
        <option value="">${words.usualModel}</option>
        ${names.map((name) => html`<option value=${name}>${name}</option>`)}
      </select>
    </span>
  `;
}

/**
 * @param {HTMLTextAreaElement} field
 * @param {string | null} session
 * @param {string} text
 */
function write(field, session, text) {
  Object.assign(field, { value: text });
  keepDraft(session, text);
}

function NoModel() {
  return html`
    <div class="nothing">
      <p>${words.noModel}</p>
      <p>${words.noModelHow.map((piece, nth) => (nth % 2 ? html`<code>${piece}</code>` : piece))}</p>
    </div>
  `;
}
