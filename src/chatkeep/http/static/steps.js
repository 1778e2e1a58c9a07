// What a message holds beside its text, folded: calls of tools with what came of them, parts of other kinds.

import { html, useLayoutEffect, useMemo, useRef, useState } from "./vendor/preact.js";
import { copy } from "./actions.js";
import { drawPlain } from "./drawing.js";
import { icon } from "./icons.js";
import { indented, itemsOf, membersOf, sourceOf } from "./source.js";

const RAW_CHARS = 10_000; // shown at once; the rest when it is asked for
const SUMMARY_CHARS = 200;

/** The calls of a message, each with its name and the text of what was given to it, exactly as it is stored. */
export function callsOf(message) {
  const calls = message.tool_calls ?? [];
  let texts = null; // read only where arguments are JSON themselves, not a string of it
  return calls.map((call, place) => {
    const made = call.function ?? call;
    let given = made.arguments ?? made.input;
    if (given !== undefined && typeof given !== "string") {
      texts ??= itemsOf(membersOf(sourceOf(message)).get("tool_calls"));
      const members = membersOf(texts[place]);
      const inner = call.function ? membersOf(members.get("function")) : members;
      given = inner.get("arguments") ?? inner.get("input");
    }
    return { call, name: String(made.name ?? call.type ?? "call"), given };
  });
}

/** A tool call and what came of it; what is inside is drawn when it is opened. */
export function Step({ name, given, outcome = null, seq, isSought }) {
  const [chosen, setOpen] = useState(null);
  const isOpen = chosen ?? isSought;
  const line = (given ?? outcome ?? "").slice(0, SUMMARY_CHARS);
  return html`
    <details class="step" open=${isOpen} onToggle=${(event) => setOpen(event.target.open)} data-seq=${seq}>
      <summary>
        ${icon("tool", 14)} <bdi class="name">${name}</bdi> <span class="given" dir="ltr">${line}</span>
        ${given !== undefined && html`<span class="state">${outcome === null ? "no result" : ""}</span>`}
      </summary>
      ${isOpen && given !== undefined && html`<${Raw} title="Call" text=${given} />`}
      ${isOpen && outcome !== null && html`<${Raw} title="Result" text=${outcome} />`}
    </details>
  `;
}

/** A part that is neither text nor a picture, as its JSON. */
export function Fold({ kind, title, body }) {
  const [isOpen, setOpen] = useState(false);
  return html`
    <details class=${`step ${kind}`} onToggle=${(event) => setOpen(event.target.open)}>
      <summary><span class="name">${title}</span> <span class="given">${body.slice(0, SUMMARY_CHARS)}</span></summary>
      ${isOpen && html`<${Raw} text=${body} />`}
    </details>
  `;
}

/** Text as it is stored, indented if it is JSON; its button copies what is stored. */
function Raw({ title, text }) {
  const [isWhole, setWhole] = useState(false);
  const whole = useMemo(() => indented(text), [text]);
  const box = useRef();
  const shown = isWhole ? whole : whole.slice(0, RAW_CHARS).replace(/[\uD800-\uDBFF]$/, "");
  useLayoutEffect(() => drawPlain(box.current, shown), [shown]);
  return html`
    ${title &&
    html`<h3>
      ${title}
      <button class="quiet copy" aria-label=${`Copy the ${title.toLowerCase()}`} onClick=${() => copy(text, `the ${title.toLowerCase()}`)}>Copy</button>
    </h3>`}
    <pre class="raw" tabindex="0" ref=${box}></pre>
    ${shown.length < whole.length &&
    html`<button class="more" onClick=${() => setWhole(true)}>Show the rest, ${(whole.length - shown.length).toLocaleString()} characters</button>`}
  `;
}
