// What leads into another branch: a question asked again or in other words, a fork, and the switch between branches.

import { branches } from "../state/branches.js";
import { rewording } from "../state/rewording.js";
import { sessionLink } from "../state/route.js";
import { serverStatus } from "../state/status.js";
import { words } from "../text/words.js";
import { html, useLayoutEffect, useRef } from "../vendor/preact.js";
import { useLayer, useObserved } from "./hooks.js";
import { icon } from "./icons.js";

/** @typedef {import("../text/messages.js").Message} StoredMessage */
/** @typedef {import("../vendor/preact.js").TemplateEvent} TemplateEvent */

/**
 * The ways from a message into a fork. Who asks again needs a model, and a question of nothing but text.
 * @param {{ session: string, message: StoredMessage, question: StoredMessage | null }} props
 */
export function BranchActions({ session, message, question }) {
  const hasModel = useObserved(serverStatus).known?.chat ?? false;
  const { seq, role } = message;
  const asked = hasModel && question && typeof question.content === "string" ? question.content : null;
  const action = (/** @type {string} */ name, /** @type {string} */ label, /** @type {() => void} */ act) =>
    html`<button class="quiet copy" aria-label=${`${label}, ${words.messageNumber(seq)}`} title=${label} onClick=${act}>${icon(name, 14)}</button>`;
  return html`
    ${asked !== null && role === "user" && action("edit", words.reword, () => rewording.begin(session, seq, asked))}
    ${asked !== null && role === "assistant" && question && action("again", words.askAgain, () => void branches.ask(session, question.seq, asked))}
    ${action("fork", words.forkHere, () => void branches.fork(session, seq))}
  `;
}

/** The field in which a question is worded anew. It grows with its text. */
export function RewordingField() {
  const { text, isAsking } = useObserved(rewording);
  /** @type {import("../vendor/preact.js").Ref<HTMLTextAreaElement>} */
  const field = useRef();
  useLayer(true, () => rewording.end());
  useLayoutEffect(() => {
    field.current.focus();
    field.current.setSelectionRange(text.length, text.length);
  }, []);
  const steer = (/** @type {TemplateEvent} */ event) => {
    if (event.isComposing || event.shiftKey) return;
    if (event.key === "Enter") rewording.ask();
    else if (event.key === "Escape") rewording.end();
    else return;
    event.preventDefault();
  };
  const ask = (/** @type {Event} */ event) => {
    event.preventDefault();
    rewording.ask();
  };
  return html`
    <form class="rewording" onSubmit=${ask}>
      <textarea
        ref=${field} dir="auto" maxlength="100000" rows=${Math.min(12, text.split("\n").length + 1)} aria-label=${words.reword} value=${text} onKeyDown=${steer}
        onInput=${(/** @type {TemplateEvent} */ event) => Object.assign(rewording, { text: event.target.value }).changed()}
      ></textarea>
      <p>
        <button type="button" onClick=${() => rewording.end()}>${words.cancel}</button>
        <button class="strong" disabled=${isAsking || !text.trim()}>${words.send}</button>
      </p>
    </form>
  `;
}

/**
 * The branches that part between two messages, if any: which one is open, and the way to the one before and after it.
 * @param {{ session: string, before: number, seq: number }} props
 */
export function BranchSwitch({ session, before, seq }) {
  const parting = useObserved(branches).between(before, seq);
  if (!parting || parting.branches.length < 2) return null;
  const all = parting.branches;
  const at = all.findIndex(({ key }) => key === session);
  const way = (/** @type {number} */ nth, /** @type {string} */ name, /** @type {string} */ label) => {
    const branch = all[nth];
    return branch
      ? html`<a class="button quiet" href=${sessionLink(branch.key, branch.seq)} aria-label=${label} title=${label}>${icon(name, 14)}</a>`
      : html`<span class="button quiet" aria-hidden="true">${icon(name, 14)}</span>`;
  };
  return html`
    <nav class="branch-switch" aria-label=${words.branches}>
      ${way(at - 1, "earlier", words.earlierBranch)}<span>${words.branchOf(at + 1, all.length)}</span>${way(at + 1, "later", words.laterBranch)}
    </nav>
  `;
}
