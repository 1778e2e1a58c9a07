// The list of sessions. Only the rows in sight are elements, however many there are.

import * as actions from "../state/actions.js";
import { renaming } from "../state/renaming.js";
import { route, sessionLink } from "../state/route.js";
import { sessions } from "../state/sessions.js";
import { ago, exact } from "../text/times.js";
import { html, useCallback, useEffect, useLayoutEffect, useRef, useState } from "../vendor/preact.js";
import { useCounts, useObserved } from "./hooks.js";
import { channelIcon, icon } from "./icons.js";
import { openMenu } from "./menu.js";
import { openSearch } from "./search.js";
import { TitleField } from "./title-field.js";

/** @typedef {import("../wire/api.js").SessionRow} SessionRow */
/** @typedef {import("../state/sessions.js").Filter} Filter */
/** @typedef {import("../vendor/preact.js").TemplateEvent} TemplateEvent */
/** @typedef {[string, string][]} Options values with their words */
/** @typedef {(name: keyof Filter, label: string, options: Options) => object} Choice */

const ROW_PX = 76; // as in the style sheet
const AROUND = 8; // rows above and below that are drawn too
const AHEAD = 100; // rows that are read before they come into sight

/**
 * The pane with the list; on a small screen it is all there is, and so the main part.
 * @param {{ channels: Record<string, number>, isMain: boolean, openHelp: () => void }} props
 */
export function SessionPane({ channels, isMain, openHelp }) {
  useObserved(sessions);
  const [frame, head] = isMain ? ["main", "h1"] : ["nav", "p"];
  return html`
    <${frame} class="pane" aria-label="Sessions">
      <header class="pane-head">
        <${head} class="brand"><a href="#/">Chatkeep</a><//>
        <button class="search-button" onClick=${openSearch}>${icon("search")}<span>Search</span><kbd>/</kbd></button>
        <a class="button quiet" href="#/overview" aria-label="Overview" title="Overview (h)">${icon("chart")}</a>
        <a class="button quiet" href="#/new" aria-label="New chat" title="New chat (n)">${icon("new")}</a>
        <button class="quiet" aria-label="Keyboard help" title="Keyboard help (?)" onClick=${openHelp}>${icon("help")}</button>
      </header>
      <${Filters} channels=${channels} />
      ${sessions.selected.size ? html`<${Selection} />` : null}
      ${sessions.problem && sessions.rows.length > 0 && html`<p class="warning" role="alert">${sessions.problem.message} <button onClick=${() => sessions.again()}>Try again</button></p>`}
      <${Rows} />
    <//>
  `;
}

/** @param {{ channels: Record<string, number> }} props */
function Filters({ channels }) {
  const { filter, total, isLoading, isFiltered } = sessions;
  const [isOpen, setOpen] = useState(false);
  const choose = (/** @type {string} */ name) => (/** @type {TemplateEvent} */ event) => sessions.choose({ [name]: event.target.value });
  /** @type {Choice} */
  const choice = (name, label, options) => html`
    <select aria-label=${label} value=${filter[name]} class=${filter[name] === options[0]?.[0] ? "" : "set"} onChange=${choose(name)}>
      ${options.map(([value, words]) => html`<option value=${value}>${words}</option>`)}
    </select>
  `;
  const day = (/** @type {"from" | "until"} */ name, /** @type {string} */ label) => html`
    <label>${label}<input type="date" max="2999-12-31" value=${filter[name]} class=${filter[name] ? "set" : ""} onChange=${choose(name)} /></label>
  `;
  return html`
    <div class="filters" role="group" aria-label="Filters">
      ${choice("channel", "Channel", named("All channels", Object.keys(channels)))}
      ${choice("state", "State", [["current", "Current"], ["pinned", "Pinned"], ["archived", "Archived"], ["all", "All"]])}
      <button class="quiet" aria-label="More filters" title="Tag and dates" aria-expanded=${isOpen} aria-pressed=${isOpen || Boolean(filter.tag || filter.from || filter.until)} onClick=${() => setOpen(!isOpen)}>
        ${icon("filter")}
      </button>
      ${isFiltered && html`<button class="quiet" aria-label="Clear filters" title="Clear filters" onClick=${() => sessions.choose()}>${icon("close")}</button>`}
      <span class="count" aria-live="polite">${isLoading && !sessions.rows.length ? "" : total.toLocaleString()}<span class="unseen"> sessions</span></span>
      ${isOpen &&
      html`<div class="more-filters">
        <${Tags} choice=${choice} /> ${day("from", "From")} ${day("until", "Until")}
      </div>`}
    </div>
  `;
}

/**
 * The choice of a tag; the server is asked for the tags when it is shown.
 * @param {{ choice: Choice }} props
 */
function Tags({ choice }) {
  const tags = (useCounts().stats?.tags ?? []).map((one) => one.tag);
  return choice("tag", "Tag", named(tags.length ? "All tags" : "No tags yet", tags));
}

/** @type {(words: string, names: string[]) => Options} */
const named = (words, names) => [["", words], ...names.map((name) => /** @type {[string, string]} */ ([name, name]))];

function Selection() {
  const rows = sessions.rows.filter((row) => sessions.selected.has(row.id));
  const clear = () => {
    sessions.selected.clear();
    sessions.changed();
  };
  const then = (/** @type {() => void} */ act) => () => {
    act();
    clear();
  };
  return html`
    <div class="selection" role="toolbar" aria-label="Selected sessions">
      <strong>${rows.length} selected</strong>
      <button onClick=${then(() => actions.archive(rows, true))}>Archive</button>
      <button onClick=${() => actions.save(rows, "jsonl")}>Save</button>
      <button class="danger" onClick=${then(() => actions.remove(rows))}>Delete</button>
      <button class="quiet" aria-label="Select none" onClick=${clear}>${icon("close", 14)}</button>
    </div>
  `;
}

function Rows() {
  useObserved(route);
  /** @type {import("../vendor/preact.js").Ref<HTMLDivElement>} */
  const box = useRef();
  const [first, setFirst] = useState(0);
  const [fitting, setFitting] = useState(12);
  const rows = sessions.shown;
  const active = document.activeElement;
  const focused = box.current?.contains(active) && active instanceof HTMLElement ? active : null;
  useLayoutEffect(() => {
    if (document.activeElement === document.body) focused?.focus({ preventScroll: true }); // lost when a row was moved
  });
  const look = useCallback(() => {
    const { scrollTop, clientHeight } = box.current;
    setFirst(Math.max(0, Math.floor(scrollTop / ROW_PX) - AROUND));
    setFitting(Math.ceil(clientHeight / ROW_PX) + 2 * AROUND);
  }, []);
  useLayoutEffect(() => {
    const sizes = new ResizeObserver(look);
    sizes.observe(box.current);
    return () => sizes.disconnect();
  }, []);
  useEffect(() => {
    if (first + fitting + AHEAD > rows.length) sessions.more();
  });
  useLayoutEffect(() => {
    const at = rows.findIndex((row) => row.id === route.key);
    if (at >= 0) reveal(box.current, at);
  }, [route.key]);
  if (!rows.length) return html`<div class="rows" ref=${box}><${Nothing} /></div>`;
  return html`
    <div class="rows" ref=${box} onScroll=${look}>
      <ul style=${{ height: `${rows.length * ROW_PX}px` }}>
        ${rows.slice(first, first + fitting).map(
          (row, nth) => html`<${Row} key=${row.id} row=${row} at=${first + nth} count=${sessions.total} />`,
        )}
      </ul>
    </div>
  `;
}

/**
 * @param {Element} box
 * @param {number} at
 */
function reveal(box, at) {
  const top = at * ROW_PX;
  if (top < box.scrollTop) box.scrollTop = top;
  else if (top + ROW_PX > box.scrollTop + box.clientHeight) box.scrollTop = top + ROW_PX - box.clientHeight;
}

function Nothing() {
  if (sessions.problem) {
    return html`
      <div class="nothing" role="alert">
        <p>${sessions.problem.message}</p>
        <button onClick=${() => sessions.again()}>Try again</button>
      </div>
    `;
  }
  if (sessions.isLoading) {
    return html`<div class="ghosts" role="status" aria-label="Loading">${Array.from({ length: 9 }, () => html`<div class="ghost"></div>`)}</div>`;
  }
  const { isFiltered } = sessions;
  return html`
    <div class="nothing">
      <p>${isFiltered ? "No session matches these filters." : "No sessions yet."}</p>
      ${isFiltered && html`<button onClick=${() => sessions.choose()}>Clear filters</button>`}
      ${!isFiltered && html`<p>Append a message over the API, import your history with <code>chatkeep import</code>, or try <code>chatkeep demo</code>.</p>`}
    </div>
  `;
}

/** @param {{ row: SessionRow, at: number, count: number }} props */
function Row({ row, at, count }) {
  useObserved(renaming);
  const isOpen = route.key === row.id;
  const isSelected = sessions.selected.has(row.id);
  const isRenamed = renaming.isAt("list", row);
  return html`
    <li
      class=${`row ${isOpen ? "open" : ""} ${isSelected ? "selected" : ""}`}
      style=${{ transform: `translateY(${at * ROW_PX}px)` }}
      data-key=${row.id}
      aria-setsize=${count}
      aria-posinset=${at + 1}
      onDblClick=${(/** @type {TemplateEvent} */ event) => !event.target.closest(".row-tools, input") && renaming.begin("list", row)}
    >
      ${isRenamed
        ? html`<div class="row-card"><span class="channel">${channelIcon(row.channel)}</span><div class="row-field"><${TitleField} /></div></div>`
        : html`<a class="row-card" href=${sessionLink(row.id)} aria-current=${isOpen ? "page" : undefined}><${Facts} row=${row} /></a>`}
      <span class="row-tools" hidden=${isRenamed}>
        <input
          type="checkbox"
          aria-label=${`Select ${row.title}`}
          checked=${isSelected}
          onChange=${() => sessions.toggle(row.id)}
        />
        <button class="quiet" aria-haspopup="menu" aria-label=${`Actions for ${row.title}`} onClick=${(/** @type {TemplateEvent} */ event) => openMenu(event.currentTarget, row, "list")}>
          ${icon("more")}
        </button>
      </span>
    </li>
  `;
}

/** @param {{ row: SessionRow }} props */
function Facts({ row }) {
  return html`
    <span class="channel" title=${row.channel}>${channelIcon(row.channel)}</span>
    <span class="title" dir="auto">${row.title}</span>
    <time datetime=${row.updated_at} title=${exact(row.updated_at)}>${ago(row.updated_at)}</time>
    <span class="preview" dir="auto">${row.preview}</span>
    <span class="facts">
      ${row.pinned && html`<span class="pinned" title="Pinned">${icon("pin", 12)}<span class="unseen">Pinned</span></span>`}
      ${row.damage && html`<span class="damaged" title=${row.damage}>damaged</span>`}
      <span class="size">${row.message_count.toLocaleString()}<span class="words"> ${row.message_count === 1 ? "message" : "messages"}</span></span>
      ${row.tags.slice(0, 3).map((tag) => html`<bdi class="tag">${tag}</bdi>`)}
    </span>
  `;
}
