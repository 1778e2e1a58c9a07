// One message: its text as Markdown, its reasoning and its tool calls with their results as steps that open.

import { html, useLayoutEffect, useMemo, useRef, useState } from "./vendor/preact.js";
import { copy } from "./actions.js";
import { draw } from "./drawing.js";
import { icon } from "./icons.js";
import { isPicture } from "./markdown.js";
import { withoutReasoning } from "./reasoning.js";
import { sessionLink } from "./routes.js";
import { contentSourceOf, partSourcesOf } from "./source.js";
import { callsOf, Fold, Step } from "./steps.js";
import { clock, exact } from "./times.js";

const FOLD_CHARS = 3000;
const FOLD_LINES = 40;
const UNFOLDED_CHARS_MAX = 100_000; // more is shown when it is asked for, even where a word of it was sought
const ROLE_NAMES = { user: "You", assistant: "Assistant", system: "System", developer: "Developer", tool: "Tool" };

/** The text parts of a message put together, for copying and finding. */
export function textOf(content) {
  if (typeof content === "string") return content;
  return (content ?? []).map((part) => (typeof part === "string" ? part : part?.text ?? "")).join("\n\n");
}

/** What came of a call: its text, or as JSON what is not text alone. */
function outcomeOf(result) {
  const { content } = result;
  const isText = typeof content === "string" || (content ?? []).every((part) => typeof (part?.text ?? part) === "string");
  return isText ? textOf(content) : contentSourceOf(result);
}

/** `sought` is the seq of the message that the address names, if it is drawn here: it is shown unfolded. */
export function Message({ session, message, results, sought }) {
  const { role, seq, timestamp, name, content } = message;
  const { reasoning, parts } = useMemo(() => withoutReasoning(message), [message]);
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
      ${reasoning && html`<${Reasoning} text=${reasoning} />`}
      ${role === "tool"
        ? html`<${Step} name=${name ?? "result"} outcome=${outcomeOf(message)} seq=${seq} isSought=${sought === seq} />`
        : parts.map(({ part, place }) => html`<${Part} key=${place} part=${part} source=${() => partSourcesOf(message)[place] ?? ""} isSought=${sought === seq} />`)}
      ${calls.map(({ call, name, given }, place) => {
        const result = results.get(call);
        const outcome = result && outcomeOf(result);
        return html`<${Step} key=${place} name=${name} given=${given} outcome=${outcome} seq=${result?.seq} isSought=${result && sought === result.seq} />`;
      })}
      ${endOf(message.metadata).map((words) => html`<p class="aside" dir="auto">${words}</p>`)}
    </article>
  `;
}

const REASONS = {
  client_gone: "Nobody waited for the rest of it.",
  server_ended: "Chatkeep was stopped.",
};

/** Why an answer is not whole, in sentences, with the words of the model's server where it gave some. */
function endOf(metadata) {
  const { partial, reason, detail, error, finish_reason: finish } = metadata ?? {};
  if (partial) {
    const words = [detail, error?.message ?? error].find((one) => typeof one === "string" && one.trim());
    const why = REASONS[reason] ?? (reason && !words ? `Reason: ${reason}.` : "");
    return [`This answer was cut off. ${why}`.trim(), ...(words ? [words] : [])];
  }
  if (finish === "length" || finish === "max_tokens") return ["This answer reached its limit of tokens."];
  return finish === "content_filter" ? ["The model's server held back the rest of this answer."] : [];
}

/** What the model thought before it answered, folded. `isGrowing` says that it still thinks. */
export function Reasoning({ text, isGrowing = false }) {
  const [isOpen, setOpen] = useState(false);
  return html`
    <details class="step thought" onToggle=${(event) => setOpen(event.target.open)}>
      <summary>
        <span class="name">${isGrowing ? "Thinking …" : "Reasoning"}</span>
        <span class="given" dir="auto">${isGrowing ? "" : text.slice(0, 200)}</span>
      </summary>
      ${isOpen && html`<${Text} text=${text} isGrowing=${isGrowing} isSought=${isGrowing} />`}
    </details>
  `;
}

function Part({ part, source, isSought }) {
  if (typeof part === "string") return html`<${Text} text=${part} isSought=${isSought} />`;
  if (typeof part?.text === "string") return html`<${Text} text=${part.text} isSought=${isSought} />`;
  const address = part?.image_url?.url ?? part?.image_url ?? part?.url;
  const inside = part?.source;
  const picture = inside?.type === "base64" ? `data:${inside.media_type};base64,${inside.data}` : address;
  if (typeof picture === "string" && isPicture(picture)) return html`<img class="picture" src=${picture} alt="Picture in this message" />`;
  return html`<${Fold} kind="part" title=${String(part?.type ?? "part")} body=${source()} />`;
}

function Text({ text, isSought, isGrowing = false }) {
  const [chosen, setWhole] = useState(null);
  const isWhole = chosen ?? (isSought && text.length <= UNFOLDED_CHARS_MAX);
  const shown = useMemo(() => (isWhole ? text : folded(text)), [text, isWhole]);
  const box = useRef();
  useLayoutEffect(() => draw(box.current, shown, { isGrowing }), [shown, isGrowing]);
  return html`
    <div class="text" dir="auto" ref=${box}></div>
    ${shown.length < text.length &&
    html`<button class="more" onClick=${() => setWhole(true)}>
      Show the rest, ${(text.length - shown.length).toLocaleString()} characters
    </button>`}
    ${chosen && html`<button class="more" onClick=${() => setWhole(false)}>Show less</button>`}
  `;
}

/** The beginning of a long text, cut where a line ends; the whole of a short one. */
function folded(text) {
  const lines = text.slice(0, FOLD_CHARS * 1.3).split("\n", FOLD_LINES + 1);
  if (text.length <= FOLD_CHARS * 1.3 && lines.length <= FOLD_LINES) return text;
  const begin = lines.slice(0, FOLD_LINES).join("\n").slice(0, FOLD_CHARS);
  const cut = begin.lastIndexOf("\n");
  return cut > FOLD_CHARS / 2 ? begin.slice(0, cut) : begin.replace(/[\uD800-\uDBFF]$/, "");
}
