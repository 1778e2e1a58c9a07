// A session: its messages by day, read by windows while one scrolls, from the end or from a message.

import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "./vendor/preact.js";
import { Composer } from "./composer.js";
import { FindBar } from "./find.js";
import { channelIcon, icon } from "./icons.js";
import { showWords } from "./lights.js";
import { openMenu } from "./menu.js";
import { Message } from "./message.js";
import { useModel } from "./model.js";
import { renaming, TitleField } from "./renaming.js";
import { go, sessionLink } from "./routes.js";
import { sessions } from "./sessions.js";
import { keepSteady } from "./steady.js";
import { dayName, exact, sameDay } from "./times.js";
import { MessageWindow } from "./window.js";

const NEAR_PX = 1200; // how near an end of the window comes before more is read
const AT_END_PX = 80;

export function SessionScreen({ session, seq, visit, hasModel, appended }) {
  useModel(sessions);
  const window = useMemo(() => new MessageWindow(session), [session]);
  useModel(window);
  const row = sessions.find(session);
  const [isFinding, setFinding] = useState(false);
  const endFinding = () => {
    setFinding(false);
    document.querySelector(".scroll").focus(); // the field that has the focus goes
  };
  useEffect(() => () => window.end(), [window]);
  useEffect(() => {
    if (!window.isReady || window.isLoading || (seq ? !window.holds(seq) : window.hasNewer)) window.open(seq);
  }, [window, visit]);
  useEffect(() => appended.listen((key, isGone) => key === session && (isGone ? window.open() : window.follow())), [window]);
  useEffect(() => void sessions.open(session), [session]);
  useEffect(() => {
    const toggle = () => setFinding((was) => !was);
    addEventListener("chatkeep:find", toggle);
    return () => removeEventListener("chatkeep:find", toggle);
  }, []);
  useEffect(() => {
    document.title = row ? `${row.title} · Chatkeep` : "Chatkeep";
    return () => (document.title = "Chatkeep");
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

function Head({ session, row, toggleFind, isFinding }) {
  useModel(renaming);
  const title = () => html`<button class="rename" title="Rename (r)" onClick=${() => renaming.begin("head", row)}>${row.title}</button>`;
  return html`
    <header class="thread-head">
      <a class="button quiet back" href="#/" aria-label="Back to the list">${icon("back")}</a>
      <div class="heading">
        <h1 dir="auto">${row && renaming.isAt("head", row) ? html`<${TitleField} />` : row ? title() : session}</h1>
        <p class="aside">
          ${row && html`<span class="channel">${channelIcon(row.channel, 13)} ${row.channel}</span> · `}
          <bdi class="key" title="The session's key">${session}</bdi>
          ${row && ` · ${row.message_count.toLocaleString()} ${row.message_count === 1 ? "message" : "messages"}`}
        </p>
      </div>
      <button class="quiet" aria-label="Find in this session" title="Find in this session (f)" aria-pressed=${isFinding} onClick=${toggleFind}>
        ${icon("search")}
      </button>
      ${row && html`<button class="quiet" aria-haspopup="menu" aria-label="Actions" title="Actions" onClick=${(event) => openMenu(event.currentTarget, row, "head")}>
        ${icon("more")}
      </button>`}
    </header>
    ${row?.damage && html`<p class="warning" role="note">This session is damaged (${row.damage}) and can only be read; chatkeep doctor says more.</p>`}
  `;
}

function Scroll({ session, seq, visit, window }) {
  const box = useRef();
  const held = useRef(null); // where the reader is: a message and how far below the top it stands, or the end
  const { messages, isReady, problem } = window;
  const arrivedAt = useRef(null);
  const drawings = useRef(new Map());

  useLayoutEffect(() => {
    if (!isReady || !messages.length) return;
    if (arrivedAt.current !== visit && (seq ? window.holds(seq) : !window.hasNewer)) {
      arrivedAt.current = visit;
      arrive(box.current, session, seq);
    } else {
      restore(box.current, held.current);
    }
    held.current = spot(box.current, window);
  }, [messages, visit]);

  const look = () => {
    const { scrollTop, scrollHeight, clientHeight } = box.current;
    held.current = spot(box.current, window);
    if (window.hasOlder && scrollTop < NEAR_PX) window.older();
    else if (scrollHeight - scrollTop - clientHeight < NEAR_PX) window.newer();
  };
  useEffect(() => {
    if (isReady && !window.isLoading && !problem) look();
  });
  useEffect(() => {
    if (isReady && document.activeElement.matches("body, .row-card")) box.current?.focus({ preventScroll: true }); // keys scroll it
  }, [isReady]);
  useEffect(() =>
    keepSteady(() => {
      const before = box.current && spot(box.current, window);
      return () => {
        if (!box.current) return;
        restore(box.current, before);
        const target = seq && elementOf(box.current, seq);
        if (target) showWords(box.current, target, session, seq); // words that were not drawn yet
      };
    }), [isReady, seq]);
  const toEnd = (event) => {
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
 * The messages with a line where a day begins; results of calls in sight stand with their calls.
 * A message that was drawn before is the same element again, so that it costs nothing.
 */
function drawn(session, messages, seq, drawings) {
  const results = resultsOf(messages);
  const told = new Set(results.values());
  const shown = messages.filter((one) => !told.has(one));
  const elements = [];
  let before = null;
  for (const message of shown) {
    if (!before || !sameDay(before.timestamp, message.timestamp)) {
      elements.push(html`<h2 class="day" key=${`day${message.seq}`} title=${exact(message.timestamp)}>${dayName(message.timestamp)}</h2>`);
    }
    const own = (message.tool_calls ?? []).map((call) => results.get(call)).filter(Boolean);
    const sought = [message, ...own].some((one) => one.seq === seq) ? seq : null;
    const state = `${sought} ${own.map((result) => result.seq)}`;
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

/** What came of each call. Some programs use ids again in every turn: a result is that of the newest call before it. */
function resultsOf(messages) {
  const open = new Map();
  const results = new Map();
  for (const message of messages) {
    for (const call of message.tool_calls ?? []) open.set(call.id, call);
    const call = message.role === "tool" && open.get(message.tool_call_id);
    if (!call) continue;
    results.set(call, message);
    open.delete(message.tool_call_id);
  }
  return results;
}

const elementOf = (box, seq) => box.querySelector(`[data-seq="${seq}"]`);

function arrive(box, session, seq) {
  const target = seq && elementOf(box, seq);
  if (!target) {
    box.scrollTop = box.scrollHeight;
    return;
  }
  target.scrollIntoView({ block: target.offsetHeight > box.clientHeight * 0.8 ? "start" : "center" });
  showWords(box, target, session, seq);
}

function spot(box, window) {
  const { scrollTop, scrollHeight, clientHeight } = box;
  if (!window.hasNewer && scrollHeight - scrollTop - clientHeight < AT_END_PX) return { isEnd: true };
  const edge = box.getBoundingClientRect().top;
  for (const message of box.querySelectorAll(".message")) {
    const { bottom, top } = message.getBoundingClientRect();
    if (bottom > edge) return { seq: message.dataset.seq, top: top - edge };
  }
  return null;
}

function restore(box, kept) {
  if (!kept) return;
  if (kept.isEnd) {
    box.scrollTop = box.scrollHeight;
    return;
  }
  const message = elementOf(box, kept.seq);
  if (message) box.scrollTop += message.getBoundingClientRect().top - box.getBoundingClientRect().top - kept.top;
}

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
