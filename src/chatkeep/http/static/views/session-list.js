// The list of sessions. Only the rows in sight are elements, however many there are.

import { connection } from "../state/connection.js";
import { renaming } from "../state/renaming.js";
import { route, sessionLink } from "../state/route.js";
import { sessions } from "../state/sessions.js";
import { ago, exact } from "../text/times.js";
import { words } from "../text/words.js";
import { html, useCallback, useEffect, useLayoutEffect, useRef, useState } from "../vendor/preact.js";
import { Filters } from "./filters.js";
import { useLayer, useObserved } from "./hooks.js";
import { channelIcon, icon } from "./icons.js";
import { ImportButton } from "./importing.js";
import { openMenu } from "./menu.js";
import { openSearch } from "./search.js";
import { Selection } from "./selection.js";
import { TitleField } from "./title-field.js";

/** @typedef {import("../wire/api.js").SessionRow} SessionRow */
/** @typedef {import("../vendor/preact.js").TemplateEvent} TemplateEvent */

const ROW_PX = 76; // as in the style sheet
const AROUND = 8; // rows above and below that are drawn too
const AHEAD = 100; // rows that are read before they come into sight

/**
 * The pane with the list; on a small screen it is all there is, and so the main part.
 * @param {{ channels: Record<string, number>, isMain: boolean, openHelp: () => void }} props
 */
export function SessionPane({ channels, isMain, openHelp }) {
  useObserved(sessions);
  const { isAway } = useObserved(connection);
  const isSelecting = sessions.selected.size > 0;
  useLayer(isSelecting, () => sessions.selectNone());
  const [frame, head] = isMain ? ["main", "h1"] : ["nav", "p"];
  const isStale = sessions.problem && sessions.rows.length > 0 && !(isAway && sessions.problem.status === 0);
  return html`
    <${frame} class="pane" aria-label=${words.sessionsRegion}>
      <header class="pane-head">
        <${head} class="brand"><a href="#/">Chatkeep</a><//>
        <button class="search-button" onClick=${openSearch}>${icon("search")}<span>${words.search}</span><kbd>/</kbd></button>
        <a class="button quiet" href="#/overview" aria-label=${words.overview} title=${`${words.overview} (h)`}>${icon("chart")}</a>
        <a class="button quiet" href="#/new" aria-label=${words.newChat} title=${`${words.newChat} (n)`}>${icon("new")}</a>
        <button class="quiet" aria-label=${words.keyboardHelp} title=${`${words.keyboardHelp} (?)`} onClick=${openHelp}>${icon("help")}</button>
      </header>
      <${Filters} channels=${channels} />
      ${isSelecting ? html`<${Selection} />` : null}
      ${isStale && html`<p class="warning" role="alert">${sessions.problem?.message} <button onClick=${() => sessions.again()}>${words.tryAgain}</button></p>`}
      <${Rows} />
      <p class="away" role="status">${isAway ? html`<span class="dot"></span>${words.serverAway}` : ""}</p>
    <//>
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
          (row, nth) => html`<${Row} key=${row.id} row=${row} at=${first + nth} count=${sessions.total} isLastPinned=${row.pinned && rows[first + nth + 1]?.pinned === false} />`,
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
        <button onClick=${() => sessions.again()}>${words.tryAgain}</button>
      </div>
    `;
  }
  if (sessions.isLoading) {
    return html`<div class="ghosts" role="status" aria-label=${words.loading}>${Array.from({ length: 9 }, () => html`<div class="ghost"></div>`)}</div>`;
  }
  const { isFiltered, unreadable } = sessions;
  if (unreadable) {
    return html`
      <div class="nothing" role="alert">
        <p>${words.noneReadable(unreadable)} <code>chatkeep doctor</code></p>
        <button onClick=${() => sessions.load()}>${words.tryAgain}</button>
      </div>
    `;
  }
  return html`
    <div class="nothing">
      <p>${isFiltered ? words.noMatch : words.noSessions}</p>
      ${isFiltered && html`<button onClick=${() => sessions.choose()}>${words.clearFilters}</button>`}
      ${!isFiltered && html`<p>${words.noSessionsHow.map((piece, nth) => (nth % 2 ? html`<code>${piece}</code>` : piece))}</p><${ImportButton} />`}
    </div>
  `;
}

/** @param {{ row: SessionRow, at: number, count: number, isLastPinned: boolean }} props */
function Row({ row, at, count, isLastPinned }) {
  useObserved(renaming);
  const isOpen = route.key === row.id;
  const isSelected = sessions.selected.has(row.id);
  const isRenamed = renaming.isAt("list", row);
  return html`
    <li
      class=${`row ${isOpen ? "open" : ""} ${isSelected ? "selected" : ""} ${isLastPinned ? "last-pinned" : ""}`}
      style=${{ transform: `translateY(${at * ROW_PX}px)` }}
      data-key=${row.id}
      aria-setsize=${count}
      aria-posinset=${at + 1}
      onDblClick=${(/** @type {TemplateEvent} */ event) => !event.target.closest(".row-tools, input") && renaming.begin("list", row)}
    >
      ${isRenamed
        ? html`<div class="row-card"><span class="channel">${channelIcon(row.channel)}</span><div class="row-field"><${TitleField} /></div></div>`
        : html`<a class="row-card" href=${sessionLink(row.id)} aria-current=${isOpen ? "page" : undefined} onClick=${(/** @type {MouseEvent} */ event) => pick(event, row)}><${Facts} row=${row} /></a>`}
      <span class="row-tools" hidden=${isRenamed}>
        <input
          type="checkbox"
          aria-label=${words.selectOne(row.title)}
          title=${words.selectHint}
          checked=${isSelected}
          onClick=${(/** @type {MouseEvent} */ event) => sessions.toggle(row.id, { isRange: event.shiftKey })}
        />
        <button class="quiet" aria-haspopup="menu" aria-label=${words.actionsFor(row.title)} onClick=${(/** @type {TemplateEvent} */ event) => openMenu(event.currentTarget, row, "list")}>
          ${icon("more")}
        </button>
      </span>
    </li>
  `;
}

/**
 * Selects instead of opening, where Ctrl or Shift is held.
 * @param {MouseEvent} event
 * @param {SessionRow} row
 */
function pick(event, row) {
  if (!event.shiftKey && !event.ctrlKey && !event.metaKey) return;
  event.preventDefault();
  sessions.toggle(row.id, { isRange: event.shiftKey });
}

/** @param {{ row: SessionRow }} props */
function Facts({ row }) {
  return html`
    <span class="channel" title=${row.channel}>${channelIcon(row.channel)}</span>
    <span class="title" dir="auto">${row.title}</span>
    <time datetime=${row.updated_at} title=${exact(row.updated_at)}>${ago(row.updated_at)}</time>
    <span class="preview" dir="auto">${row.preview}</span>
    <span class="facts">
      ${row.pinned && html`<span class="pinned" title=${words.pinned}>${icon("pin", 12)}<span class="unseen">${words.pinned}</span></span>`}
      ${row.archived && html`<span title=${words.archivedOne}>${icon("archive", 12)}<span class="unseen">${words.archivedOne}</span></span>`}
      ${row.damage && html`<span class="damaged" title=${row.damage}>${words.damaged}</span>`}
      <span class="size">${words.messages(row.message_count)}</span>
      ${row.tags.slice(0, 3).map((tag) => html`<bdi class="tag">${tag}</bdi>`)}
    </span>
  `;
}
