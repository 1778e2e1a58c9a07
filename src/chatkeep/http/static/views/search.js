// Search as one types: every key asks, only the newest answer counts.

import { dialog } from "../state/dialog.js";
import { go, sessionLink } from "../state/route.js";
import { answerTo, question } from "../state/search.js";
import { seek } from "../state/sought.js";
import { ago } from "../text/times.js";
import { words } from "../text/words.js";
import { html, useEffect, useRef, useState } from "../vendor/preact.js";
import { arrowStep } from "./hooks.js";
import { channelIcon, icon } from "./icons.js";

/** @typedef {import("../state/search.js").Question} Question */
/** @typedef {import("../state/search.js").Answer} Answer */
/** @typedef {import("../wire/api.js").Hit} Hit */
/** @typedef {import("../vendor/preact.js").TemplateEvent} TemplateEvent */
/** @typedef {(change: Partial<Question>) => void} Ask */

const CHOSEN_ROLES = ["user", "assistant", "tool"]; // others are found among everybody

export const openSearch = () => dialog.open({ kind: "search", label: words.search, body: html`<${Search} />` });

function Search() {
  const [asked, setAsked] = useState(question.last);
  const answer = useAnswer(asked);
  const { hits, isAsking, more } = answer;
  const [at, setAt] = useState(0);
  /** @type {import("../vendor/preact.js").Ref<HTMLUListElement | null>} */
  const list = useRef();
  const isWaiting = useRef(false); // to open the best hit of the question under way
  const ask = (/** @type {Partial<Question>} */ change) => {
    question.last = { ...asked, ...change };
    setAsked(question.last);
    setAt(0);
    isWaiting.current = false;
  };
  useEffect(() => list.current?.children[at]?.scrollIntoView({ block: "nearest" }), [at]);
  const open = (/** @type {Hit} */ hit) => {
    seek(hit.id, hit.seq, marked(hit), { isMarked: true });
    dialog.close();
    go(sessionLink(hit.id, hit.seq));
  };
  const steer = (/** @type {TemplateEvent} */ event) => {
    const step = arrowStep(event.key);
    const chosen = hits[at];
    if (event.key === "Escape") dialog.close(); // else the browser only empties the field
    else if (step && hits.length) {
      event.preventDefault();
      isWaiting.current = false;
      if (step > 0 && more && at === hits.length - 1) more();
      else setAt((at + step + hits.length) % hits.length);
    } else if (event.key === "Enter" && !event.isComposing) {
      event.preventDefault();
      if (isAsking) isWaiting.current = true;
      else if (chosen) open(chosen);
    }
  };
  useEffect(() => {
    if (!isAsking && isWaiting.current && hits[0]) open(hits[0]);
  }, [isAsking]);
  return html`
    <div class="search-box">
      <div class="search-line">
        ${icon("search", 18)}
        <input
          type="search" role="combobox" aria-label=${words.searchAll} aria-controls="hits" aria-expanded=${hits.length > 0}
          aria-activedescendant=${hits.length ? `hit${at}` : undefined}
          placeholder=${words.searchAll} value=${asked.q} dir="auto" autocomplete="off" spellcheck=${false} maxlength="1000" autofocus
          onInput=${(/** @type {TemplateEvent} */ event) => ask({ q: event.target.value })} onKeyDown=${steer} onFocus=${(/** @type {TemplateEvent} */ event) => event.target.select()}
        />
        <button class="quiet" aria-label=${words.closeSearch} onClick=${dialog.close}>${icon("close")}</button>
      </div>
      <${Choices} asked=${asked} ask=${ask} />
      <ul id="hits" role="listbox" aria-label=${words.results} ref=${list}>
        ${hits.map((hit, nth) => html`<${Result} key=${`${hit.id}#${hit.seq}`} hit=${hit} nth=${nth} isChosen=${nth === at} open=${open} />`)}
      </ul>
      ${more && html`<p class="further"><button onClick=${more}>${words.moreResults}</button></p>`}
      ${!isAsking && answer.elsewhere && html`<${ElsewhereWays} elsewhere=${answer.elsewhere} ask=${ask} />`}
      <p class="aside" role="status">${summaryOf(asked, answer)}</p>
    </div>
  `;
}

/**
 * The ways to where there would be results, if there are none here.
 * @param {{ elsewhere: import("../wire/api.js").Elsewhere, ask: Ask }} props
 */
function ElsewhereWays({ elsewhere, ask }) {
  const { roles, unfiltered } = elsewhere;
  const field = () => document.querySelector(".search-line input");
  const way = (/** @type {string} */ label, /** @type {Partial<Question>} */ change) => {
    const go = () => {
      ask(change);
      const input = field();
      if (input instanceof HTMLElement) input.focus(); // the button goes
    };
    return html`<button onClick=${go}>${label}</button>`;
  };
  return html`
    <p class="further">
      ${Object.entries(roles).map(([role, count]) => way(words.hitsOfRole(count, words.roles[role] ?? role), { role: CHOSEN_ROLES.includes(role) ? role : "any" }))}
      ${unfiltered > 0 && way(words.hitsAnyTime(unfiltered), { since: "" })}
    </p>
  `;
}

/**
 * Asks the server; an answer that comes after a newer question is left aside. `more` reads the next page, if any.
 * @param {Question} asked
 * @returns {Answer & { isAsking: boolean, more: (() => void) | null }}
 */
function useAnswer(asked) {
  /** @type {{ asked: Question | null, answer: Answer }} */
  const none = { asked: null, answer: { hits: [], mode: "all" } };
  const [{ asked: answered, answer }, setAnswer] = useState(none);
  useEffect(() => {
    const asking = new AbortController();
    answerTo(asked, asking.signal).then((found) => found && setAnswer({ asked, answer: found }));
    return () => asking.abort();
  }, [asked]);
  /** @type {import("../vendor/preact.js").Ref<AbortController | null>} */
  const going = useRef();
  useEffect(() => () => going.current?.abort(), [answer]);
  const more = () => {
    if (going.current && !going.current.signal.aborted) return; // it is asked already
    const asking = (going.current = new AbortController());
    answerTo(asked, asking.signal, answer).then((found) => found && setAnswer({ asked, answer: found }));
  };
  const isAsking = answered !== asked;
  return { ...answer, isAsking, more: !isAsking && answer.cursor && !answer.problem ? more : null };
}

/**
 * Returns a sentence on what was found.
 * @param {Question} asked
 * @param {Answer & { isAsking: boolean }} answer
 */
function summaryOf(asked, { hits, mode, cursor, problem, isAsking }) {
  if (problem) return problem.message;
  if (!asked.q.trim()) return words.searchHint;
  if (!hits.length) return isAsking ? words.searching : words.nothingFound;
  const count = cursor ? words.bestSessions(hits.length) : words.sessions(hits.length);
  return mode === "any" ? `${count}. ${words.notEveryWord}` : count;
}

/** @param {{ asked: Question, ask: Ask }} props */
function Choices({ asked, ask }) {
  /** @type {(name: "sort" | "role" | "since", label: string, options: [string, string][]) => object} */
  const choice = (name, label, options) => html`
    <select aria-label=${label} value=${asked[name]} onChange=${(/** @type {TemplateEvent} */ event) => ask({ [name]: event.target.value })}>
      ${options.map(([value, shown]) => html`<option value=${value}>${shown}</option>`)}
    </select>
  `;
  return html`
    <div class="choices">
      ${choice("sort", words.order, words.orders)} ${choice("role", words.whoSaid, words.searchRoles)} ${choice("since", words.when, words.whens)}
    </div>
  `;
}

/** @param {{ hit: Hit, nth: number, isChosen: boolean, open: (hit: Hit) => void }} props */
function Result({ hit, nth, isChosen, open }) {
  return html`
    <li id=${`hit${nth}`} role="option" aria-selected=${isChosen} class="hit" onClick=${() => open(hit)}>
      <span class="channel" title=${hit.channel}>${channelIcon(hit.channel)}</span>
      <span class="title" dir="auto">${lit(hit.title, hit.title_highlights ?? [])}</span>
      <time datetime=${hit.last_activity}>${ago(hit.last_activity)}</time>
      <span class="excerpt" dir="auto">${lit(hit.match, hit.highlights)}</span>
      <span class="facts">${words.roles[hit.match_role] ?? hit.match_role} · ${words.messageNumber(hit.seq)}${hit.match_count === 0 ? ` · ${words.foundByName}` : ""}${hit.match_count > 1 ? ` · ${words.moreHits(hit.match_count)}` : ""}</span>
    </li>
  `;
}

/**
 * Returns the words that are marked in the excerpt of a hit, in lower case. Highlights count characters; strings of
 * JavaScript have two units for some of them.
 * @param {Hit} hit
 */
function marked({ match, highlights }) {
  const characters = Array.from(match);
  return [...new Set(highlights.map(([start, end]) => characters.slice(start, end).join("").toLowerCase()))];
}

/**
 * Returns the excerpt with its hits marked.
 * @param {string} excerpt
 * @param {Hit["highlights"]} highlights
 */
function lit(excerpt, highlights) {
  const characters = Array.from(excerpt);
  const slice = (/** @type {number} */ start, /** @type {number} */ end) => characters.slice(start, end).join("");
  const pieces = [];
  let done = 0;
  for (const [start, end] of highlights) {
    pieces.push(slice(done, start), html`<mark>${slice(start, end)}</mark>`);
    done = end;
  }
  return [...pieces, slice(done, characters.length)];
}
