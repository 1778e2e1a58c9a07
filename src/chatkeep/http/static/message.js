// One message: its text as markdown, its tool calls with their results as steps that open.

import { html, useLayoutEffect, useMemo, useRef, useState } from "./vendor/preact.js";
import { copy } from "./actions.js";
import { icon } from "./icons.js";
import { isPicture, rendered } from "./markdown.js";
import { sessionLink } from "./routes.js";
import { clock, exact } from "./times.js";

const FOLD_CHARS = 3000;
const FOLD_LINES = 40;
const PLAIN_CHARS = 100_000; // above this, text is shown as it stands
const ROLE_NAMES = { user: "You", assistant: "Assistant", system: "System", developer: "Developer", tool: "Tool" };

/** The text parts of a message put together, for copying and finding. */
export function textOf(content) {
  if (typeof content === "string") return content;
  return (content ?? []).map((part) => (typeof part === "string" ? part : part.text ?? "")).join("\n\n");
}

/** `sought` is the seq of the message that the address names, if it is drawn here: it is shown unfolded. */
export function Message({ session, message, results, sought }) {
  const { role, seq, timestamp, name, content } = message;
  const parts = typeof content === "string" ? [{ type: "text", text: content }] : content ?? [];
  const calls = message.tool_calls ?? [];
  const text = textOf(content);
  return html`
    <article
      id=${`m${seq}`}
      data-seq=${seq}
      class=${`message ${role} ${sought ? "marked" : ""}`}
      aria-label=${`${ROLE_NAMES[role]}, message ${seq}`}
      tabindex="-1"
    >
      <header>
        <span class="role">${ROLE_NAMES[role]}${name ? html` <bdi class="name">${name}</bdi>` : ""}</span>
        <a class="time" href=${sessionLink(session, seq)} title=${`${exact(timestamp)} · message ${seq}`}>
          <time datetime=${timestamp}>${clock(timestamp)}</time>
        </a>
        ${text && html`<button class="quiet copy" aria-label=${`Copy message ${seq}`} onClick=${() => copy(text, "the message")}>
          ${icon("copy", 14)}
        </button>`}
      </header>
      ${role === "tool"
        ? html`<${Step} name=${name ?? "result"} result=${message} isSought=${sought === seq} />`
        : parts.map((part, place) => html`<${Part} key=${place} part=${part} isSought=${sought === seq} />`)}
      ${calls.map((call, place) => html`<${Step} key=${place} ...${callFacts(call)} result=${results.get(call)} isSought=${sought === results.get(call)?.seq} />`)}
      ${message.metadata?.partial && html`<p class="aside">This answer was cut off.</p>`}
    </article>
  `;
}

function Part({ part, isSought }) {
  if (typeof part === "string") return html`<${Text} text=${part} isSought=${isSought} />`;
  const source = part.image_url?.url ?? part.image_url ?? part.url;
  const picture = part.source?.type === "base64" ? `data:${part.source.media_type};base64,${part.source.data}` : source;
  if (typeof part.text === "string" && part.type !== "thinking") return html`<${Text} text=${part.text} isSought=${isSought} />`;
  if (typeof picture === "string" && isPicture(picture)) return html`<img class="picture" src=${picture} alt="Picture in this message" />`;
  const thought = part.thinking ?? part.reasoning ?? part.text;
  if (typeof thought === "string") return html`<${Fold} kind="thought" title="Thinking" body=${thought} />`;
  return html`<${Fold} kind="part" title=${String(part.type ?? "part")} body=${pretty(part)} />`;
}

function Text({ text, isSought }) {
  const [chosen, setWhole] = useState(null);
  const isWhole = chosen ?? (isSought && text.length <= PLAIN_CHARS);
  const shown = useMemo(() => (isWhole ? text : folded(text)), [text, isWhole]);
  const box = useRef();
  useLayoutEffect(() => {
    if (shown.length > PLAIN_CHARS) box.current.textContent = shown;
    else box.current.replaceChildren(rendered(shown));
  }, [shown]);
  return html`
    <div class=${`text ${shown.length > PLAIN_CHARS ? "plain-text" : ""}`} dir="auto" ref=${box}></div>
    ${shown.length < text.length &&
    html`<button class="more" onClick=${() => setWhole(true)}>
      Show the rest, ${(text.length - shown.length).toLocaleString()} characters
    </button>`}
    ${chosen && html`<button class="more" onClick=${() => setWhole(false)}>Show less</button>`}
  `;
}

/** The beginning of a long text, cut where a line ends; the whole of a short one. */
function folded(text) {
  const lines = text.split("\n", FOLD_LINES + 1);
  if (text.length <= FOLD_CHARS * 1.3 && lines.length <= FOLD_LINES) return text;
  const begin = lines.slice(0, FOLD_LINES).join("\n").slice(0, FOLD_CHARS);
  const cut = begin.lastIndexOf("\n");
  return cut > FOLD_CHARS / 2 ? begin.slice(0, cut) : begin.replace(/[\uD800-\uDBFF]$/, "");
}

function callFacts(call) {
  const made = call.function ?? call;
  return { name: String(made.name ?? call.type ?? "call"), given: made.arguments ?? made.input };
}

/** A tool call and what came of it; what is inside is drawn when it is opened. */
function Step({ name, given, result, isSought }) {
  const [chosen, setOpen] = useState(null);
  const isOpen = chosen ?? isSought;
  const outcome = result ? textOf(result.content) || pretty(result.content) : null;
  const line = given === undefined ? (outcome ?? "").slice(0, 200) : oneLine(given);
  return html`
    <details class="step" open=${isOpen} onToggle=${(event) => setOpen(event.target.open)} data-seq=${result?.seq}>
      <summary>
        ${icon("tool", 14)} <bdi class="name">${name}</bdi> <span class="given" dir="ltr">${line}</span>
        ${given !== undefined && html`<span class="state">${result ? "" : "no result"}</span>`}
      </summary>
      ${isOpen && given !== undefined && html`<h3>Call</h3><${Raw} text=${pretty(given)} />`}
      ${isOpen && outcome !== null && html`<h3>Result</h3><${Raw} text=${pretty(outcome)} />`}
    </details>
  `;
}

function Fold({ kind, title, body }) {
  const [isOpen, setOpen] = useState(false);
  return html`
    <details class=${`step ${kind}`} onToggle=${(event) => setOpen(event.target.open)}>
      <summary><span class="name">${title}</span> <span class="given">${body.slice(0, 200)}</span></summary>
      ${isOpen && html`<${Raw} text=${body} />`}
    </details>
  `;
}

function Raw({ text }) {
  const [isWhole, setWhole] = useState(false);
  const shown = isWhole ? text : text.slice(0, PLAIN_CHARS / 10);
  return html`
    <pre class="raw" tabindex="0">${shown}</pre>
    ${shown.length < text.length &&
    html`<button class="more" onClick=${() => setWhole(true)}>Show the rest, ${(text.length - shown.length).toLocaleString()} characters</button>`}
  `;
}

const oneLine = (given) => (typeof given === "string" ? given : JSON.stringify(given)).replace(/\s+/g, " ").slice(0, 200);

/** JSON with indents; other text as it is. */
function pretty(given) {
  if (typeof given !== "string") return JSON.stringify(given, null, 2) ?? "";
  if (!/^\s*[[{]/.test(given) || given.length > PLAIN_CHARS) return given;
  try {
    return JSON.stringify(JSON.parse(given), null, 2);
  } catch {
    return given;
  }
}
