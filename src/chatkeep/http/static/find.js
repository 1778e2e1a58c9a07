// Find within the open session, and jump to a day of it.

import { html, useEffect, useLayoutEffect, useRef, useState } from "./vendor/preact.js";
import * as api from "./api.js";
import { icon } from "./icons.js";
import { comeFor, light, rangesOf } from "./lights.js";
import { notices } from "./notices.js";
import { go, sessionLink } from "./routes.js";
import { seqAt } from "./window.js";

const PAUSE_MS = 60;
const LIMIT = 200;
const RELIGHT_MS = 100; // once for all that is drawn meanwhile

export function FindBar({ session, last, close }) {
  const [text, setText] = useState("");
  const [seqs, setSeqs] = useState([]);
  const [at, setAt] = useState(0);
  const input = useRef();
  const jumping = useRef();
  const show = (seq) => {
    comeFor(session, seq, wordsIn(text));
    go(sessionLink(session, seq), { replace: true });
  };
  const take = (found) => setSeqs((known) => (`${found}` === `${known}` ? known : found)); // the same hits are no reason to move
  useLayoutEffect(() => input.current.focus(), []); // at once: the next key is for it
  useEffect(() => {
    const asking = new AbortController();
    const timer = setTimeout(() => seek(session, text, asking.signal).then(take, complain), PAUSE_MS);
    return () => {
      clearTimeout(timer);
      asking.abort();
    };
  }, [session, text]);
  useEffect(() => {
    setAt(seqs.length - 1);
    if (seqs.length) show(seqs.at(-1));
  }, [seqs]);
  useEffect(() => {
    let due = null;
    const again = new MutationObserver(() => (due ??= setTimeout(relight, RELIGHT_MS))); // also what is drawn later
    const relight = () => {
      due = null;
      lightAll(text);
    };
    again.observe(document.querySelector(".thread"), { childList: true, subtree: true });
    lightAll(text);
    return () => {
      again.disconnect();
      clearTimeout(due);
      light([]);
    };
  }, [text]);
  const step = (by) => {
    if (!seqs.length) return;
    const next = (at + by + seqs.length) % seqs.length;
    setAt(next);
    show(seqs[next]);
  };
  const keys = (event) => {
    if (event.key === "Enter") step(event.shiftKey ? 1 : -1);
    if (event.key === "Escape") close();
  };
  useEffect(() => () => jumping.current?.abort(), [session]);
  const jump = async (event) => {
    jumping.current?.abort();
    const day = new Date(`${event.target.value}T00:00`);
    if (Number.isNaN(+day) || !last) return;
    const { signal } = (jumping.current = new AbortController());
    try {
      const newest = await api.readMessages({ session, limit: 1 }, signal);
      go(sessionLink(session, await seqAt(session, day, newest.messages.at(-1)?.seq ?? last, signal)));
    } catch (error) {
      complain(error);
    }
  };
  return html`
    <div class="find" role="search">
      <input
        type="search" aria-label="Find in this session" placeholder="Find in this session" ref=${input} value=${text} dir="auto"
        onInput=${(event) => setText(event.target.value)} onKeyDown=${keys}
      />
      <span class="count" role="status">${text.trim() && (seqs.length ? `${at + 1} of ${seqs.length}${seqs.length === LIMIT ? "+" : ""}` : "none")}</span>
      <button class="quiet" aria-label="Earlier hit" onClick=${() => step(-1)}>${icon("up")}</button>
      <button class="quiet" aria-label="Later hit" onClick=${() => step(1)}>${icon("down")}</button>
      <label class="date" title="Jump to a day"><span class="unseen">Jump to a day</span><input type="date" onChange=${jump} /></label>
      <button class="quiet" aria-label="Close" onClick=${close}>${icon("close")}</button>
    </div>
  `;
}

/** The seqs of the messages of one session that match. */
async function seek(session, text, signal) {
  if (!text.trim()) return [];
  const asked = { q: text, session, role: "any", unit: "message", sort: "recent", limit: LIMIT };
  const { sessions } = await api.searchSessions(asked, signal);
  return sessions.map((hit) => hit.seq).sort((one, other) => one - other);
}

const complain = (error) => error.name !== "AbortError" && notices.complain(error);

const wordsIn = (text) => text.toLowerCase().split(/[\s"“”]+/).filter(Boolean);

function lightAll(text) {
  const box = document.querySelector(".messages");
  light(box ? rangesOf(wordsIn(text), box) : []);
}
