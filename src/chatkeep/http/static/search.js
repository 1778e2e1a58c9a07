// Search as one types: every key asks, only the newest answer counts.

import { html, useEffect, useRef, useState } from "./vendor/preact.js";
import * as api from "./api.js";
import { channelIcon, icon } from "./icons.js";
import { comeFor } from "./lights.js";
import { dialog } from "./menu.js";
import { go, sessionLink } from "./routes.js";
import { ago } from "./times.js";

const LIMIT = 30;
let last = { q: "", role: "", sort: "relevance", since: "" };

export const openSearch = () => dialog.open({ kind: "search", label: "Search", body: html`<${Search} />` });

function Search() {
  const [asked, setAsked] = useState(last);
  const { hits, mode, problem, isAsking } = useAnswer(asked);
  const [at, setAt] = useState(0);
  const list = useRef();
  const isWaiting = useRef(false); // to open the best of what is asked for
  const ask = (change) => {
    last = { ...asked, ...change };
    setAsked(last);
    setAt(0);
    isWaiting.current = false;
  };
  useEffect(() => list.current?.children[at]?.scrollIntoView({ block: "nearest" }), [at]);
  const open = (hit) => {
    comeFor(hit.id, hit.seq, marked(hit), { isMarked: true });
    dialog.close();
    go(sessionLink(hit.id, hit.seq));
  };
  const steer = (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape") dialog.close(); // else the browser only empties the field
    else if (step && hits.length) {
      event.preventDefault();
      isWaiting.current = false;
      setAt((at + step + hits.length) % hits.length);
    } else if (event.key === "Enter" && !event.isComposing) {
      event.preventDefault();
      if (isAsking) isWaiting.current = true;
      else if (hits[at]) open(hits[at]);
    }
  };
  useEffect(() => {
    if (!isAsking && isWaiting.current && hits.length) open(hits[0]);
  }, [isAsking]);
  return html`
    <div class="search-box">
      <div class="search-line">
        ${icon("search", 18)}
        <input
          type="search" role="combobox" aria-label="Search all messages" aria-controls="hits" aria-expanded=${hits.length > 0}
          aria-activedescendant=${hits.length ? `hit${at}` : undefined}
          placeholder="Search all messages" value=${asked.q} dir="auto" autocomplete="off" spellcheck=${false} maxlength="1000" autofocus
          onInput=${(event) => ask({ q: event.target.value })} onKeyDown=${steer} onFocus=${(event) => event.target.select()}
        />
        <button class="quiet" aria-label="Close search" onClick=${dialog.close}>${icon("close")}</button>
      </div>
      <${Choices} asked=${asked} ask=${ask} />
      <ul id="hits" role="listbox" aria-label="Results" ref=${list}>
        ${hits.map((hit, nth) => html`<${Hit} key=${`${hit.id}#${hit.seq}`} hit=${hit} nth=${nth} isChosen=${nth === at} open=${open} />`)}
      </ul>
      <p class="aside" role="status">${told(asked, hits, mode, problem, isAsking)}</p>
    </div>
  `;
}

/** Asks for what is wanted; an answer that comes after a newer question is left aside. */
function useAnswer(asked) {
  const [answer, setAnswer] = useState({ asked: null, hits: [], mode: "all" });
  useEffect(() => {
    const { q, role, sort, since } = asked;
    if (!q.trim()) {
      setAnswer({ asked, hits: [], mode: "all" });
      return undefined;
    }
    const asking = new AbortController();
    const days = since && new Date(Date.now() - Number(since) * 86_400_000).toISOString();
    api.searchSessions({ q, role, sort, since: days, limit: LIMIT }, asking.signal).then(
      (found) => setAnswer({ asked, hits: found.sessions, mode: found.mode }),
      (problem) => problem.name !== "AbortError" && setAnswer({ asked, hits: [], mode: "all", problem }),
    );
    return () => asking.abort();
  }, [asked]);
  return { ...answer, isAsking: answer.asked !== asked };
}

function told(asked, hits, mode, problem, isAsking) {
  if (problem) return problem.message;
  if (!asked.q.trim()) return "Words, parts in “quotes”, or any Chinese or Japanese character. ↑ ↓ to choose, Enter to open.";
  if (!hits.length) return isAsking ? "Searching …" : "Nothing found.";
  const count = hits.length < LIMIT ? `${hits.length} ${hits.length === 1 ? "session" : "sessions"}` : `The best ${LIMIT} sessions`;
  return mode === "any" ? `${count}. Not all of these have every word.` : count;
}

function Choices({ asked, ask }) {
  const choice = (name, label, options) => html`
    <select aria-label=${label} value=${asked[name]} onChange=${(event) => ask({ [name]: event.target.value })}>
      ${options.map(([value, words]) => html`<option value=${value}>${words}</option>`)}
    </select>
  `;
  const roles = [["", "You and assistant"], ["user", "You"], ["assistant", "Assistant"], ["tool", "Tools"], ["any", "Everybody"]];
  const times = [["", "Any time"], ["1", "Past day"], ["7", "Past week"], ["31", "Past month"], ["366", "Past year"]];
  return html`
    <div class="choices">
      ${choice("sort", "Order", [["relevance", "Best first"], ["recent", "Newest first"]])}
      ${choice("role", "Who said it", roles)} ${choice("since", "When", times)}
    </div>
  `;
}

function Hit({ hit, nth, isChosen, open }) {
  return html`
    <li id=${`hit${nth}`} role="option" aria-selected=${isChosen} class="hit" onClick=${() => open(hit)}>
      <span class="channel" title=${hit.channel}>${channelIcon(hit.channel)}</span>
      <span class="title" dir="auto">${hit.title}</span>
      <time datetime=${hit.last_activity}>${ago(hit.last_activity)}</time>
      <span class="excerpt" dir="auto">${lit(hit.match, hit.highlights)}</span>
      <span class="facts">${hit.match_role} · message ${hit.seq.toLocaleString()}${hit.match_count > 1 ? ` · ${hit.match_count.toLocaleString()} hits` : ""}</span>
    </li>
  `;
}

/** What is marked in the excerpt of a hit, in lower case. Highlights count characters, strings of JavaScript half of some. */
function marked({ match, highlights }) {
  const characters = Array.from(match);
  return [...new Set(highlights.map(([start, end]) => characters.slice(start, end).join("").toLowerCase()))];
}

/** The excerpt with its hits marked. */
function lit(excerpt, highlights) {
  const characters = Array.from(excerpt);
  const slice = (start, end) => characters.slice(start, end).join("");
  const pieces = [];
  let done = 0;
  for (const [start, end] of highlights) {
    pieces.push(slice(done, start), html`<mark>${slice(start, end)}</mark>`);
    done = end;
  }
  return [...pieces, slice(done)];
}
