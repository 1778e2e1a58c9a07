// A session: its messages by day, read by windows while one scrolls, from the end or from a message.

import { listen } from "../state/feed.js";
import { MessageWindow } from "../state/message-window.js";
import { renaming } from "../state/renaming.js";
import { go, sessionLink } from "../state/route.js";
import { sessions } from "../state/sessions.js";
import { found, soughtIn } from "../state/sought.js";
import { addAnchor } from "../text/anchoring.js";
import { bestOf, highlight, spotsOf } from "../text/highlights.js";
import { resultsOf } from "../text/messages.js";
import { dayName, exact, sameDay } from "../text/times.js";
import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "../vendor/preact.js";
import { Composer } from "./composer.js";
import { FindBar } from "./find-bar.js";
import { useObserved } from "./hooks.js";
import { channelIcon, icon } from "./icons.js";
import { openMenu } from "./menu.js";
import { Message } from "./message.js";
import { TitleField } from "./title-field.js";

/** @typedef {import("../text/messages.js").Message} StoredMessage */
/** @typedef {import("../wire/api.js").SessionRow} SessionRow */
/** @typedef {import("../vendor/preact.js").TemplateEvent} TemplateEvent */
/** @template T @typedef {import("../vendor/preact.js").Ref<T>} Ref */
/** @typedef {{ isEnd: true } | { seq: number, top: number }} Position the end, or a message and how far below the top it stands */
/** @typedef {{ state: string, element: object }} Drawing an element, and what it was drawn with */

const NEAR_PX = 1200; // how near an end of the window comes before more is read
const AT_END_PX = 80;

/** @param {{ session: string, seq: number | null, visit: number, hasModel: boolean | null }} props */
export function SessionScreen({ session, seq, visit, hasModel }) {
  useObserved(sessions);
  const window = useMemo(() => new MessageWindow(session), [session]);
  useObserved(window);
  const row = sessions.find(session);
  const [isFinding, setFinding] = useState(false);
  const endFinding = () => {
    setFinding(false);
    const box = document.querySelector(".scroll");
    if (box instanceof HTMLElement) box.focus(); // the field that has the focus goes
  };
  useEffect(() => () => window.end(), [window]);
  useEffect(() => {
    if (!window.isReady || window.isLoading || (seq ? !window.holds(seq) : window.hasNewer)) window.open(seq);
  }, [window, visit]);
  useEffect(
    () =>
      listen((key, isGone, drops) => {
        if (key === session) (isGone || window.lost(drops) ? window.open() : window.follow());
      }),
    [window],
  );
  useEffect(() => void sessions.open(session), [session]);
  useEffect(() => {
    const toggle = () => setFinding((was) => !was);
    addEventListener("chatkeep:find", toggle);
    return () => removeEventListener("chatkeep:find", toggle);
  }, []);
  useEffect(() => {
    document.title = row ? `${row.title} · Chatkeep` : "Chatkeep";
    return () => void (document.title = "Chatkeep");
  }, [row?.title]);
  return html`
    <main class="thread" aria-label="Session">
      <${Head} session=${session} row=${row} toggleFind=${() => setFinding(!isFinding)} isFinding=${isFinding} />
      ${isFinding && html`<${FindBar} session=${session} last=${window.last} close=${endFinding} />`}
      <${Scroll} session=${session} seq=${seq} visit=${visit} window=${window} />
      ${window.problem?.status !== 404 && html`<${Composer} session=${session} hasModel=${hasModel} follow=${() => window.follow()} />`}
    </main>
  `;
}

/** @param {{ session: string, row?: SessionRow, toggleFind: () => void, isFinding: boolean }} props */
function Head({ session, row, toggleFind, isFinding }) {
  useObserved(renaming);
  const title = (/** @type {SessionRow} */ one) => html`<button class="rename" title="Rename (r)" onClick=${() => renaming.begin("head", one)}>${one.title}</button>`;
  return html`
    <header class="thread-head">
      <a class="button quiet back" href="#/" aria-label="Back to the list">${icon("back")}</a>
      <div class="heading">
        <h1 dir="auto">${row && renaming.isAt("head", row) ? html`<${TitleField} />` : row ? title(row) : session}</h1>
        <p class="aside">
          ${row && html`<span class="channel">${channelIcon(row.channel, 13)} ${row.channel}</span> · `}
          <bdi class="key" title="The session's key">${session}</bdi>
          ${row && ` · ${row.message_count.toLocaleString()} ${row.message_count === 1 ? "message" : "messages"}`}
        </p>
      </div>
      <button class="quiet" aria-label="Find in this session" title="Find in this session (f)" aria-pressed=${isFinding} onClick=${toggleFind}>
        ${icon("search")}
      </button>
      ${row && html`<button class="quiet" aria-haspopup="menu" aria-label="Actions" title="Actions" onClick=${(/** @type {TemplateEvent} */ event) => openMenu(event.currentTarget, row, "head")}>
        ${icon("more")}
      </button>`}
    </header>
    ${row?.damage && html`<p class="warning" role="note">This session is damaged (${row.damage}) and can only be read; chatkeep doctor says more.</p>`}
  `;
}

/** @param {{ session: string, seq: number | null, visit: number, window: MessageWindow }} props */
function Scroll({ session, seq, visit, window }) {
  /** @type {Ref<HTMLDivElement>} */
  const box = useRef();
  const held = useRef(/** @type {Position | null} */ (null)); // where the reader is
  const { messages, isReady, problem } = window;
  const arrivedAt = useRef(0); // the visit that has brought the reader here
  /** @type {Ref<Map<StoredMessage, Drawing>>} */
  const drawings = useRef(new Map());

  useLayoutEffect(() => {
    if (!isReady || !messages.length) return;
    if (arrivedAt.current !== visit && (seq ? window.holds(seq) : !window.hasNewer)) {
      arrivedAt.current = visit;
      arrive(box.current, session, seq);
    } else {
      restore(box.current, held.current);
    }
    held.current = positionIn(box.current, window);
  }, [messages, visit]);

  const look = () => {
    const { scrollTop, scrollHeight, clientHeight } = box.current;
    held.current = positionIn(box.current, window);
    if (window.hasOlder && scrollTop < NEAR_PX) window.older();
    else if (scrollHeight - scrollTop - clientHeight < NEAR_PX) window.newer();
  };
  useEffect(() => {
    if (isReady && !window.isLoading && !problem) look();
  });
  useEffect(() => {
    if (isReady && document.activeElement?.matches("body, .row-card")) box.current?.focus({ preventScroll: true }); // keys scroll it
  }, [isReady]);
  useEffect(() =>
    addAnchor(() => {
      const before = box.current && positionIn(box.current, window);
      return () => {
        if (!box.current) return;
        restore(box.current, before);
        const target = seq && elementOf(box.current, seq);
        if (target) showWords(box.current, target, session, seq); // words that were not drawn yet
      };
    }), [isReady, seq]);
  const toEnd = (/** @type {TemplateEvent} */ event) => {
    event.preventDefault(); // the browser does nothing where the address is this one already
    box.current.focus(); // the link goes
    go(sessionLink(session));
  };
  if (problem && (!isReady || problem.status === 404)) return html`<${Trouble} problem=${problem} again=${() => window.open(seq)} />`;
  if (!isReady) return html`<div class="scroll" ref=${box} aria-busy="true"><div class="messages ghosts" role="status" aria-label="Loading">${[1, 2, 3, 4].map(() => html`<div class="ghost tall"></div>`)}</div></div>`;
  if (!messages.length) return html`<div class="scroll" ref=${box}><p class="nothing">No messages yet.</p></div>`;
  return html`
    <div class="scroll" ref=${box} onScroll=${look} tabindex="0" role="region" aria-label="Messages">
      <div class="messages">
        ${!window.hasOlder && html`<p class="edge">The beginning</p>`}
        ${(window.hasOlder || window.hasNewer) && html`<p class="edge on-paper">Messages ${window.first} to ${window.last}. Save the session as Markdown to have all of them.</p>`}
        ${drawn(session, messages, seq, drawings.current)}
      </div>
    </div>
    ${problem && html`<p class="warning" role="alert">${problem.message} <button onClick=${() => window.resume()}>Try again</button></p>`}
    ${window.hasNewer && !problem && html`<a class="button to-end" href=${sessionLink(session)} onClick=${toEnd}>${icon("down")} To the end</a>`}
  `;
}

/**
 * Returns the messages with a line where a day begins; results of calls in sight stand with their calls.
 * A message that was drawn before is the same element again, so that it costs nothing.
 * @param {string} session
 * @param {StoredMessage[]} messages
 * @param {number | null} seq
 * @param {Map<StoredMessage, Drawing>} drawings
 */
function drawn(session, messages, seq, drawings) {
  const results = resultsOf(messages);
  const withCalls = new Set(results.values());
  const shown = messages.filter((one) => !withCalls.has(one));
  const elements = [];
  /** @type {StoredMessage | null} */
  let before = null;
  for (const message of shown) {
    if (!before || !sameDay(before.timestamp, message.timestamp)) {
      elements.push(html`<h2 class="day" key=${`day${message.seq}`} title=${exact(message.timestamp)}>${dayName(message.timestamp)}</h2>`);
    }
    const own = (message.tool_calls ?? []).map((call) => results.get(call)?.seq);
    const sought = [message.seq, ...own].some((one) => one === seq) ? seq : null;
    const state = `${sought} ${own}`;
    let drawing = drawings.get(message);
    if (drawing?.state !== state) {
      const element = html`<${Message} key=${message.seq} session=${session} message=${message} results=${results} sought=${sought} />`;
      drawing = { state, element };
      drawings.set(message, drawing);
    }
    elements.push(drawing.element);
    before = message;
  }
  for (const message of drawings.keys()) if (!messages.includes(message)) drawings.delete(message);
  return elements;
}

/**
 * Returns the message with a seq, or the result of a call.
 * @param {Element} box
 * @param {number} seq
 * @returns {HTMLElement | null}
 */
const elementOf = (box, seq) => box.querySelector(`[data-seq="${seq}"]`);

/**
 * @param {Element} box
 * @param {string} session
 * @param {number | null} seq
 */
function arrive(box, session, seq) {
  const target = seq && elementOf(box, seq);
  if (!target) {
    box.scrollTop = box.scrollHeight;
    return;
  }
  target.scrollIntoView({ block: target.offsetHeight > box.clientHeight * 0.8 ? "start" : "center" });
  showWords(box, target, session, seq);
}

/**
 * Brings the words for which the reader came to a message into sight, where the message is longer than the box.
 * @param {Element} box
 * @param {Element} element
 * @param {string} session
 * @param {number} seq
 */
function showWords(box, element, session, seq) {
  const sought = soughtIn(session, seq);
  const spots = sought ? spotsOf(sought.words, element) : [];
  const best = bestOf(spots);
  if (!sought || !best) return; // they may be in what is not drawn yet
  if (sought.isMarked) highlight(spots.map(({ range }) => range));
  found();
  const [{ top, bottom }, edge] = [best.getBoundingClientRect(), box.getBoundingClientRect()];
  if (top < edge.top || bottom > edge.bottom) box.scrollTop += top - edge.top - box.clientHeight / 3;
}

/**
 * Returns where the reader is.
 * @param {Element} box
 * @param {MessageWindow} window
 * @returns {Position | null}
 */
function positionIn(box, window) {
  const { scrollTop, scrollHeight, clientHeight } = box;
  if (!window.hasNewer && scrollHeight - scrollTop - clientHeight < AT_END_PX) return { isEnd: true };
  const edge = box.getBoundingClientRect().top;
  for (const message of /** @type {NodeListOf<HTMLElement>} */ (box.querySelectorAll(".message"))) {
    const { bottom, top } = message.getBoundingClientRect();
    if (bottom > edge) return { seq: Number(message.dataset.seq), top: top - edge };
  }
  return null;
}

/**
 * @param {Element} box
 * @param {Position | null} position
 */
function restore(box, position) {
  if (!position) return;
  if ("isEnd" in position) {
    box.scrollTop = box.scrollHeight;
    return;
  }
  const message = elementOf(box, position.seq);
  if (message) box.scrollTop += message.getBoundingClientRect().top - box.getBoundingClientRect().top - position.top;
}

/** @param {{ problem: import("../wire/api.js").Problem, again: () => void }} props */
function Trouble({ problem, again }) {
  const words = problem.status === 404 ? "There is no session with this key. It may have been deleted." : problem.message;
  return html`
    <div class="scroll">
      <div class="nothing" role="alert">
        <p>${words}</p>
        <button onClick=${again}>Try again</button>
      </div>
    </div>
  `;
}
