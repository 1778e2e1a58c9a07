// One message: its text as markdown, its tool calls with their results as steps that open.

import { html, useLayoutEffect, useMemo, useRef, useState } from "./vendor/preact.js";
import { copy } from "./actions.js";
import { icon } from "./icons.js";
import { isPicture, rendered } from "./markdown.js";
import { sessionLink } from "./routes.js";
import { contentSourceOf, partSourcesOf } from "./source.js";
import { callsOf, Fold, Step } from "./steps.js";
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

/** What came of a call: its text, or as JSON what is not text alone. */
function outcomeOf(result) {
  const { content } = result;
  const isText = typeof content === "string" || (content ?? []).every((part) => typeof (part.text ?? part) === "string");
  return isText ? textOf(content) : contentSourceOf(result);
}

/** `sought` is the seq of the message that the address names, if it is drawn here: it is shown unfolded. */
export function Message({ session, message, results, sought }) {
  const { role, seq, timestamp, name, content } = message;
  const parts = typeof content === "string" ? [{ type: "text", text: content }] : content ?? [];
  const calls = useMemo(() => callsOf(message), [message]);
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
        ? html`<${Step} name=${name ?? "result"} outcome=${outcomeOf(message)} seq=${seq} isSought=${sought === seq} />`
        : parts.map((part, place) => html`<${Part} key=${place} part=${part} source=${() => partSourcesOf(message)[place]} isSought=${sought === seq} />`)}
      ${calls.map(({ call, name, given }, place) => {
        const result = results.get(call);
        const outcome = result && outcomeOf(result);
        return html`<${Step} key=${place} name=${name} given=${given} outcome=${outcome} seq=${result?.seq} isSought=${result && sought === result.seq} />`;
      })}
      ${message.metadata?.partial && html`<p class="aside">This answer was cut off.</p>`}
    </article>
  `;
}

function Part({ part, source: sourceOfPart, isSought }) {
  if (typeof part === "string") return html`<${Text} text=${part} isSought=${isSought} />`;
  const source = part.image_url?.url ?? part.image_url ?? part.url;
  const picture = part.source?.type === "base64" ? `data:${part.source.media_type};base64,${part.source.data}` : source;
  if (typeof part.text === "string" && part.type !== "thinking") return html`<${Text} text=${part.text} isSought=${isSought} />`;
  if (typeof picture === "string" && isPicture(picture)) return html`<img class="picture" src=${picture} alt="Picture in this message" />`;
  const thought = part.thinking ?? part.reasoning ?? part.text;
  if (typeof thought === "string") return html`<${Fold} kind="thought" title="Thinking" body=${thought} />`;
  return html`<${Fold} kind="part" title=${String(part.type ?? "part")} body=${sourceOfPart()} />`;
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
