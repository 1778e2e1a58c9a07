// Parts of a message beside its text, folded: calls of tools with their results, parts of other kinds.

import { copy } from "../state/actions.js";
import { indented } from "../text/json.js";
import { drawPlain } from "../text/rendering.js";
import { words } from "../text/words.js";
import { html, useLayoutEffect, useMemo, useRef, useState } from "../vendor/preact.js";
import { icon } from "./icons.js";

/** @typedef {import("../vendor/preact.js").TemplateEvent} TemplateEvent */

const RAW_CHARS = 10_000; // shown at once; the rest when it is asked for
const SUMMARY_CHARS = 200;

/**
 * A tool call and its result; what is inside is drawn when it is opened.
 * @param {{ name: string, given?: string, outcome?: string | null, seq?: number, isSought?: boolean, isFailed?: boolean }} props
 */
export function Step({ name, given, outcome = null, seq, isSought, isFailed = false }) {
  const [chosen, setOpen] = useState(/** @type {boolean | null} */ (null));
  const isOpen = chosen ?? isSought;
  const line = (given ?? outcome ?? "").slice(0, SUMMARY_CHARS);
  const state = isFailed ? words.failed : given !== undefined && outcome === null ? words.noResult : "";
  return html`
    <details class=${`step ${isFailed ? "failed" : ""}`} open=${isOpen} onToggle=${(/** @type {TemplateEvent} */ event) => setOpen(event.target.open)} data-seq=${seq}>
      <summary>
        ${icon(isFailed ? "failed" : "tool", 14)} <bdi class="name">${name}</bdi> <span class="given" dir="ltr">${line}</span>
        <span class="state">${state}</span>
      </summary>
      ${isOpen && given !== undefined && html`<${Raw} title=${words.call} copied=${words.theCall} text=${given} />`}
      ${isOpen && outcome !== null && html`<${Raw} title=${words.result} copied=${words.theResult} text=${outcome} />`}
    </details>
  `;
}

/**
 * A part that is neither text nor a picture, as its JSON.
 * @param {{ title: string, body: string }} props
 */
export function OtherPart({ title, body }) {
  const [isOpen, setOpen] = useState(false);
  return html`
    <details class="step part" onToggle=${(/** @type {TemplateEvent} */ event) => setOpen(event.target.open)}>
      <summary><span class="name">${title}</span> <span class="given">${body.slice(0, SUMMARY_CHARS)}</span></summary>
      ${isOpen && html`<${Raw} text=${body} />`}
    </details>
  `;
}

/**
 * Text as it is stored, indented if it is JSON; its button copies what is stored.
 * @param {{ title?: string, copied?: string, text: string }} props
 */
function Raw({ title, copied = "", text }) {
  const [isWhole, setWhole] = useState(false);
  const whole = useMemo(() => indented(text), [text]);
  /** @type {import("../vendor/preact.js").Ref<HTMLPreElement>} */
  const box = useRef();
  const shown = isWhole ? whole : whole.slice(0, RAW_CHARS).replace(/[\uD800-\uDBFF]$/, "");
  useLayoutEffect(() => drawPlain(box.current, shown), [shown]);
  return html`
    ${title &&
    html`<h3>
      ${title}
      <button class="quiet copy" aria-label=${words.copyOf(copied)} onClick=${() => copy(text, copied)}>${words.copy}</button>
    </h3>`}
    <pre class="raw" tabindex="0" ref=${box}></pre>
    ${shown.length < whole.length &&
    html`<button class="more" onClick=${() => setWhole(true)}>${words.showRest(whole.length - shown.length)}</button>`}
  `;
}
