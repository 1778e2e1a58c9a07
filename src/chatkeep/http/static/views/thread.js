// The messages of a session by day, read by windows while one scrolls, from the end or from a message.

import { turns } from "../state/turns.js";
import { addAnchor } from "../text/anchoring.js";
import { resultsOf } from "../text/messages.js";
import { dayName, exact, sameDay } from "../text/times.js";
import { words } from "../text/words.js";
import { html, useEffect, useLayoutEffect, useRef } from "../vendor/preact.js";
import { BranchSwitch } from "./branching.js";
import { GrowingAnswer } from "./growing-answer.js";
import { useObserved } from "./hooks.js";
import { Message } from "./message.js";
import { arrive, belowOf, bring, elementOf, positionIn, restore, showWords, topmostIn } from "./scrolling.js";

/** @typedef {import("../text/messages.js").Message} StoredMessage */
/** @typedef {import("../state/message-window.js").MessageWindow} MessageWindow */
/** @typedef {import("../vendor/preact.js").TemplateEvent} TemplateEvent */
/** @typedef {import("./scrolling.js").Position} Position */
/** @template T @typedef {import("../vendor/preact.js").Ref<T>} Ref */
/** @typedef {{ state: string, element: object }} Drawing an element, and what it was drawn with */

const NEAR_PX = 1200; // how near an end of the window comes before more is read
const FAR_PX = 400; // from here on a way to the end is shown
const PRESSED_MS = 400; // what opens under the finger stays where it is

/**
 * `tellFar` is told whether the end is far from what is in sight.
 * @param {{ session: string, seq: number | null, visit: number, window: MessageWindow, tellFar: (isFar: boolean) => void }} props
 */
export function Thread({ session, seq, visit, window, tellFar }) {
  /** @type {Ref<HTMLDivElement>} */
  const box = useRef();
  const { isReady, messages, problem } = window;
  const noteScrolling = useHeldPlace(box, { session, seq, visit, window });
  /** @type {Ref<Map<StoredMessage, Drawing>>} */
  const drawings = useRef(new Map());
  const look = () => {
    tellFar(belowOf(box.current, window) > FAR_PX);
    if (window.hasOlder && box.current.scrollTop < NEAR_PX) window.older();
    else if (window.hasNewer && box.current.scrollHeight - box.current.scrollTop - box.current.clientHeight < NEAR_PX) window.newer();
  };
  useEffect(() => {
    if (isReady && messages.length && !window.isLoading && !problem) look();
  });
  useEffect(() => {
    if (isReady && document.activeElement?.matches("body, .row-card")) box.current?.focus({ preventScroll: true }); // keys scroll it
  }, [isReady]);
  const scrolled = () => {
    noteScrolling();
    look();
  };
  if (problem && (!isReady || problem.status === 404)) return html`<${Trouble} problem=${problem} again=${() => window.open(seq)} />`;
  if (!isReady) return html`<div class="scroll" ref=${box} aria-busy="true"><div class="messages ghosts" role="status" aria-label=${words.loading}>${[1, 2, 3, 4].map(() => html`<div class="ghost tall"></div>`)}</div></div>`;
  return html`
    <div class="scroll" ref=${box} onScroll=${scrolled} tabindex="0" role="region" aria-label=${words.messagesRegion}>
      ${!messages.length && html`<p class="nothing">${words.noMessages}</p>`}
      <div class="messages">
        ${messages.length > 0 && !window.hasOlder && html`<p class="edge">${words.beginning}</p>`}
        ${(window.hasOlder || window.hasNewer) && html`<p class="edge on-paper">${words.partOnPaper(window.first, window.last)}</p>`}
        ${drawn(session, window, seq, drawings.current)}
        ${!window.hasNewer && html`<div class="edge-switch"><${BranchSwitch} session=${session} before=${window.last} seq=${Infinity} /></div>`}
        ${!window.hasNewer && html`<${Growing} session=${session} seq=${window.last + 1} />`}
      </div>
    </div>
    ${problem && html`<p class="warning" role="alert">${problem.message} <button onClick=${() => window.resume()}>${words.tryAgain}</button></p>`}
  `;
}

/**
 * Keeps the reader where they are while heights change; what they came for stays in sight until they scroll. Returns
 * what is to be called when they have scrolled.
 * @param {Ref<HTMLDivElement>} box
 * @param {{ session: string, seq: number | null, visit: number, window: MessageWindow }} place
 */
function useHeldPlace(box, { session, seq, visit, window }) {
  const held = useRef(/** @type {Position | null} */ (null)); // where the reader is
  const goal = useRef(/** @type {number | null} */ (null)); // the message that they came for
  const pressed = useRef(/** @type {Position | null} */ (null)); // where they were when they pressed something
  const arrivedAt = useRef(0); // the visit that has brought the reader here
  const ownTop = useRef(NaN); // where this has scrolled to; its event comes when more may have been drawn
  const { isReady, messages } = window;
  const move = (/** @type {() => void} */ scroll) => {
    scroll();
    ownTop.current = box.current.scrollTop;
  };
  const keep = () => {
    const target = goal.current && elementOf(box.current, goal.current);
    move(() => (target ? bring(box.current, target) : restore(box.current, pressed.current ?? held.current)));
  };
  useLayoutEffect(() => {
    if (!isReady || !messages.length) return;
    if (arrivedAt.current !== visit && (seq ? window.holds(seq) : !window.hasNewer)) {
      arrivedAt.current = visit;
      move(() => (goal.current = arrive(box.current, session, seq) ? seq : null));
    } else {
      keep();
    }
    held.current = positionIn(box.current, window);
  }, [messages, visit]);
  useLayoutEffect(() => {
    const inner = isReady && box.current?.querySelector(".messages");
    if (!inner) return undefined;
    const sizes = new ResizeObserver(keep);
    const steer = () => {
      if (goal.current) held.current = positionIn(box.current, window);
      goal.current = null;
    };
    const press = () => {
      steer();
      pressed.current = topmostIn(box.current);
      setTimeout(() => (pressed.current = null), PRESSED_MS);
    };
    sizes.observe(inner);
    sizes.observe(box.current);
    for (const name of ["wheel", "touchmove", "keydown", "pointerdown"]) box.current.addEventListener(name, steer, { passive: true });
    box.current.addEventListener("click", press, { capture: true });
    return () => sizes.disconnect();
  }, [isReady]);
  useEffect(() =>
    addAnchor(() => {
      const before = box.current && positionIn(box.current, window);
      return () => {
        if (!box.current) return;
        const target = seq && elementOf(box.current, seq);
        move(() => {
          restore(box.current, before);
          if (!target || !showWords(box.current, target, session, seq)) return; // they are not drawn yet
          goal.current = null;
          held.current = positionIn(box.current, window);
        });
      };
    }), [isReady, seq]);
  return () => {
    if (Math.abs(box.current.scrollTop - ownTop.current) < 1) return;
    goal.current = null; // also where nothing was pressed: the browser finds words, a screen reader goes on
    held.current = positionIn(box.current, window);
  };
}

/**
 * The answer that comes now, where it will stay.
 * @param {{ session: string, seq: number }} props
 */
function Growing({ session, seq }) {
  const turn = useObserved(turns).of(session);
  return turn && turn.text !== null ? html`<${GrowingAnswer} turn=${turn} seq=${seq} />` : null;
}

/**
 * Returns the messages with a line where a day begins; results of calls in sight stand with their calls.
 * A message that was drawn before is the same element again, so that it costs nothing.
 * @param {string} session
 * @param {MessageWindow} window
 * @param {number | null} seq
 * @param {Map<StoredMessage, Drawing>} drawings
 */
function drawn(session, { messages, hasOlder }, seq, drawings) {
  const results = resultsOf(messages);
  const withCalls = new Set(results.values());
  const shown = messages.filter((one) => !withCalls.has(one));
  const elements = [];
  /** @type {StoredMessage | null} */
  let before = null;
  /** @type {StoredMessage | null} */
  let question = null;
  for (const message of shown) {
    if (message.role === "user") question = message;
    if (!before || !sameDay(before.timestamp, message.timestamp)) {
      elements.push(html`<h2 class="day" key=${`day${message.seq}`} title=${exact(message.timestamp)}>${dayName(message.timestamp)}</h2>`);
    }
    const own = (message.tool_calls ?? []).map((call) => results.get(call)?.seq);
    const sought = [message.seq, ...own].some((one) => one === seq) ? seq : null;
    const above = before?.seq ?? (hasOlder ? message.seq - 1 : 0);
    const state = `${sought} ${own} ${above} ${question?.seq}`;
    let drawing = drawings.get(message);
    if (drawing?.state !== state) {
      const element = html`<${Message} key=${message.seq} session=${session} message=${message} results=${results} sought=${sought} before=${above} question=${question} />`;
      drawing = { state, element };
      drawings.set(message, drawing);
    }
    elements.push(drawing.element);
    before = message;
  }
  for (const message of drawings.keys()) if (!messages.includes(message)) drawings.delete(message);
  return elements;
}

/** @param {{ problem: import("../wire/api.js").Problem, again: () => void }} props */
function Trouble({ problem, again }) {
  return html`
    <div class="scroll">
      <div class="nothing" role="alert">
        <p>${problem.status === 404 ? words.noSession : problem.message}</p>
        <button onClick=${again}>${words.tryAgain}</button>
      </div>
    </div>
  `;
}
