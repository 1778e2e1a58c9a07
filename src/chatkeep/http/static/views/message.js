// One message: its text as Markdown, its reasoning and its tool calls with their results as steps that open.

import { copy } from "../state/actions.js";
import { rewording } from "../state/rewording.js";
import { sessionLink } from "../state/route.js";
import { attachmentIn } from "../text/attachments.js";
import { figuresOf, figureWords } from "../text/figures.js";
import { folded } from "../text/folding.js";
import { partSourceOf } from "../text/json.js";
import { pictureBlobIn } from "../text/blob-names.js";
import { isPicture } from "../text/markdown.js";
import { callsOf, endOf, fieldsOf, outcomeOf, pictureIn, textOf, textOfPart } from "../text/messages.js";
import { hasFailed } from "../text/outcomes.js";
import { reasoningTime, withoutReasoning } from "../text/reasoning.js";
import { draw } from "../text/rendering.js";
import { clock, exact, lasted } from "../text/times.js";
import { words } from "../text/words.js";
import { html, useLayoutEffect, useMemo, useRef, useState } from "../vendor/preact.js";
import { AttachmentPart } from "./attachments.js";
import { BranchActions, BranchSwitch, RewordingField } from "./branching.js";
import { useObserved } from "./hooks.js";
import { icon } from "./icons.js";
import { OtherPart, Step } from "./tool-calls.js";

/** @typedef {import("../text/messages.js").Message} StoredMessage */
/** @typedef {import("../text/messages.js").Fields} Fields */
/** @typedef {import("../vendor/preact.js").TemplateEvent} TemplateEvent */

const UNFOLDED_CHARS_MAX = 100_000; // more is shown when it is asked for, even where a word of it was sought

/**
 * `sought` is the seq of the message that the address names, if it is drawn here: it is shown unfolded. `before` is the
 * seq of the message above, `question` the one that this answers, or is.
 * @param {{ session: string, message: StoredMessage, results: Map<Fields, StoredMessage>, sought: number | null, before: number, question: StoredMessage | null }} props
 */
export function Message({ session, message, results, sought, before, question }) {
  const { role, seq, timestamp, name, content } = message;
  const { reasoning, parts } = useMemo(() => withoutReasoning(message), [message]);
  const calls = useMemo(() => callsOf(message), [message]);
  const text = textOf(content);
  const who = words.roles[role] ?? role;
  const isReworded = useObserved(rewording).isAt(session, seq);
  return html`
    <article
      id=${`m${seq}`}
      data-seq=${seq}
      class=${`message ${role} ${sought ? "marked" : ""}`}
      aria-label=${words.messageLabel(who, seq)}
      tabindex="-1"
    >
      <header>
        <span class="role">${who}${name ? html` <bdi class="name">${name}</bdi>` : ""}</span>
        <a class="time" href=${sessionLink(session, seq)} title=${`${exact(timestamp)} · ${words.messageNumber(seq)}`}>
          <time datetime=${timestamp}>${clock(timestamp)}</time>
        </a>
        ${text && html`<button class="quiet copy" aria-label=${words.copyMessage(seq)} title=${words.copy} onClick=${() => copy(text, words.theMessage)}>
          ${icon("copy", 14)}
        </button>`}
        <${BranchActions} session=${session} message=${message} question=${question} />
        <${BranchSwitch} session=${session} before=${before} seq=${seq} />
      </header>
      ${reasoning && html`<${Reasoning} text=${reasoning} ms=${reasoningTime(message.metadata)} />`}
      ${role === "tool"
        ? html`<${Step} name=${name ?? words.result} outcome=${outcomeOf(message)} seq=${seq} isSought=${sought === seq} isFailed=${hasFailed(message)} />`
        : isReworded
          ? html`<${RewordingField} />`
          : parts.map(({ part, place }) => html`<${Part} key=${place} part=${part} source=${() => partSourceOf(message, place)} isSought=${sought === seq} />`)}
      ${calls.map(({ call, name: called, given }, nth) => {
        const result = results.get(call);
        const outcome = result && outcomeOf(result);
        return html`<${Step} key=${nth} name=${called} given=${given} outcome=${outcome} seq=${result?.seq} isSought=${result && sought === result.seq} isFailed=${result && hasFailed(result)} />`;
      })}
      ${endOf(message.metadata).map((sentence) => html`<p class="aside" dir="auto">${sentence}</p>`)}
      ${role === "assistant" && html`<${Facts} message=${message} />`}
    </article>
  `;
}

/**
 * The model, tokens, time and cost of an answer, where they are stored.
 * @param {{ message: StoredMessage }} props
 */
function Facts({ message }) {
  const figures = useMemo(() => figureWords(figuresOf(message)), [message]);
  return figures.length ? html`<p class="answer-facts">${figures.map((one) => html`<bdi>${one}</bdi>`)}</p>` : null;
}

/**
 * The reasoning before an answer, folded. `isGrowing` says that the model still thinks, `ms` how long it has thought.
 * @param {{ text: string, isGrowing?: boolean, ms?: number | null }} props
 */
export function Reasoning({ text, isGrowing = false, ms = null }) {
  const [isOpen, setOpen] = useState(false);
  const name = ms === null ? words.reasoning : words.thoughtFor(lasted(ms));
  return html`
    <details class="step thought" onToggle=${(/** @type {TemplateEvent} */ event) => setOpen(event.target.open)}>
      <summary>
        <span class="name">${isGrowing ? words.thinking : name}</span>
        <span class="given" dir="auto">${isGrowing ? "" : text.slice(0, 200)}</span>
      </summary>
      ${isOpen && html`<${Text} text=${text} isGrowing=${isGrowing} isSought=${isGrowing} />`}
    </details>
  `;
}

/**
 * A part of a content: text, a picture, a file, or what is none of these, as its JSON.
 * @param {{ part: import("../text/messages.js").Part, source: () => string, isSought: boolean }} props
 */
function Part({ part, source, isSought }) {
  const text = textOfPart(part);
  if (text !== null) return html`<${Text} text=${text} isSought=${isSought} />`;
  const picture = pictureIn(part);
  const shown = picture && (pictureBlobIn(picture) ?? (isPicture(picture) && picture));
  if (shown) return html`<img class="picture" src=${shown} loading="lazy" alt=${words.picture} />`;
  const attachment = attachmentIn(part);
  if (attachment) return html`<${AttachmentPart} attachment=${attachment} source=${source} />`;
  return html`<${OtherPart} title=${String(fieldsOf(part).type ?? words.part)} body=${source()} />`;
}

/** @param {{ text: string, isSought: boolean, isGrowing?: boolean }} props */
function Text({ text, isSought, isGrowing = false }) {
  const [chosen, setWhole] = useState(/** @type {boolean | null} */ (null));
  const isWhole = chosen ?? (isSought && text.length <= UNFOLDED_CHARS_MAX);
  const shown = useMemo(() => (isWhole || isGrowing ? text : folded(text)), [text, isWhole]);
  /** @type {import("../vendor/preact.js").Ref<HTMLDivElement>} */
  const box = useRef();
  useLayoutEffect(() => draw(box.current, shown, { isGrowing }), [shown, isGrowing]);
  return html`
    <div class="text" dir="auto" ref=${box}></div>
    ${shown.length < text.length &&
    html`<button class="more" onClick=${() => setWhole(true)}>${words.showRest(text.length - shown.length)}</button>`}
    ${chosen && html`<button class="more" onClick=${() => setWhole(false)}>${words.showLess}</button>`}
  `;
}
