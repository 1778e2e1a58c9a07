// Find within the open session, and jump to a day of it.

import { notices } from "../state/notices.js";
import { go, sessionLink } from "../state/route.js";
import { PLACES_MAX, seqAt, seqsOf } from "../state/search.js";
import { seek } from "../state/sought.js";
import { highlight, spotsOf } from "../text/highlights.js";
import { words } from "../text/words.js";
import { html, useEffect, useLayoutEffect, useRef, useState } from "../vendor/preact.js";
import { icon } from "./icons.js";

/** @template T @typedef {import("../vendor/preact.js").Ref<T>} Ref */
/** @typedef {import("../vendor/preact.js").TemplateEvent} TemplateEvent */

const PAUSE_MS = 60;
const REMARK_MS = 100; // once for all that is drawn meanwhile

/** @param {{ session: string, last: number, close: () => void }} props `last` is the seq of the last message shown */
export function FindBar({ session, last, close }) {
  const [text, setText] = useState("");
  const [seqs, setSeqs] = useState(/** @type {number[]} */ ([]));
  const [at, setAt] = useState(0);
  /** @type {Ref<HTMLInputElement>} */
  const input = useRef();
  /** @type {Ref<AbortController | undefined>} */
  const jumping = useRef();
  const show = (/** @type {number} */ seq) => {
    seek(session, seq, wordsIn(text));
    go(sessionLink(session, seq), { replace: true });
  };
  const take = (/** @type {number[]} */ found) => setSeqs((known) => (`${found}` === `${known}` ? known : found)); // the same hits are no reason to move
  useLayoutEffect(() => input.current.focus(), []); // at once: the next key is for it
  useEffect(() => {
    const asking = new AbortController();
    const timer = setTimeout(() => seqsOf(session, text, asking.signal).then(take, complain), PAUSE_MS);
    return () => {
      clearTimeout(timer);
      asking.abort();
    };
  }, [session, text]);
  useEffect(() => {
    setAt(seqs.length - 1);
    const newest = seqs.at(-1);
    if (newest) show(newest);
  }, [seqs]);
  useEffect(() => {
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let due;
    const again = new MutationObserver(() => (due ??= setTimeout(remark, REMARK_MS))); // also what is drawn later
    const remark = () => {
      due = undefined;
      markAll(text);
    };
    again.observe(/** @type {Element} */ (document.querySelector(".thread")), { childList: true, subtree: true });
    markAll(text);
    return () => {
      again.disconnect();
      clearTimeout(due);
      highlight([]);
    };
  }, [text]);
  const step = (/** @type {1 | -1} */ by) => {
    const next = (at + by + seqs.length) % seqs.length;
    const seq = seqs[next];
    if (!seq) return;
    setAt(next);
    show(seq);
  };
  const steer = (/** @type {TemplateEvent} */ event) => {
    if (event.key === "Enter") step(event.shiftKey ? 1 : -1);
    if (event.key === "Escape") {
      event.preventDefault();
      event.stopPropagation(); // what lies under this bar stays
      close();
    }
  };
  useEffect(() => () => jumping.current?.abort(), [session]);
  const jump = async (/** @type {TemplateEvent} */ event) => {
    jumping.current?.abort();
    const day = new Date(`${event.target.value}T00:00`);
    if (Number.isNaN(+day) || !last) return;
    const { signal } = (jumping.current = new AbortController());
    try {
      go(sessionLink(session, await seqAt(session, day, last, signal)));
    } catch (error) {
      complain(error);
    }
  };
  return html`
    <div class="find" role="search">
      <input
        type="search" aria-label=${words.findInSession} placeholder=${words.findInSession} ref=${input} value=${text} dir="auto"
        onInput=${(/** @type {TemplateEvent} */ event) => setText(event.target.value)} onKeyDown=${steer}
      />
      <span class="count" role="status">${text.trim() && (seqs.length ? words.hitOf(seqs.length - at, `${seqs.length}${seqs.length === PLACES_MAX ? "+" : ""}`) : words.none)}</span>
      <button class="quiet" aria-label=${words.earlierHit} title=${words.earlierHitKey} onClick=${() => step(-1)}>${icon("up")}</button>
      <button class="quiet" aria-label=${words.laterHit} title=${words.laterHitKey} onClick=${() => step(1)}>${icon("down")}</button>
      <label class="date" title=${words.jumpToDay}><span class="unseen">${words.jumpToDay}</span><input type="date" onChange=${jump} /></label>
      <button class="quiet" aria-label=${words.close} onClick=${close}>${icon("close")}</button>
    </div>
  `;
}

const complain = (/** @type {unknown} */ error) => notices.complain(error);

const wordsIn = (/** @type {string} */ text) => text.toLowerCase().split(/[\s"“”]+/).filter(Boolean);

/** @param {string} text */
function markAll(text) {
  const box = document.querySelector(".messages");
  highlight(box ? spotsOf(wordsIn(text), box).map(({ range }) => range) : []);
}
