// A session: its head, its messages, the place to write in, and on a wide screen its details beside them.

import { branches } from "../state/branches.js";
import { listen } from "../state/feed.js";
import { layers } from "../state/layers.js";
import { MessageWindow } from "../state/message-window.js";
import { renaming } from "../state/renaming.js";
import { go, sessionLink } from "../state/route.js";
import { sessions } from "../state/sessions.js";
import { words } from "../text/words.js";
import { html, useEffect, useMemo, useState } from "../vendor/preact.js";
import { Composer } from "./composer.js";
import { Details, openDetails } from "./details.js";
import { FindBar } from "./find-bar.js";
import { useLayer, useObserved } from "./hooks.js";
import { channelIcon, icon } from "./icons.js";
import { openMenu } from "./menu.js";
import { Thread } from "./thread.js";
import { TitleField } from "./title-field.js";

/** @typedef {import("../wire/api.js").SessionRow} SessionRow */
/** @typedef {import("../vendor/preact.js").TemplateEvent} TemplateEvent */

/** @param {{ session: string, seq: number | null, visit: number, hasModel: boolean | null, isBeside: boolean }} props */
export function SessionScreen({ session, seq, visit, hasModel, isBeside }) {
  useObserved(sessions);
  const window = useMemo(() => new MessageWindow(session), [session]);
  useObserved(window);
  const row = sessions.find(session);
  const [isFinding, setFinding] = useState(false);
  const [isFar, setFar] = useState(false);
  const endFinding = () => {
    setFinding(false);
    const box = document.querySelector(".scroll");
    if (box instanceof HTMLElement) box.focus(); // the field that has the focus goes
  };
  useLayer(isFinding, endFinding);
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
  useEffect(() => void branches.load(session), [session]);
  useEffect(() => layers.answer("find", () => setFinding((was) => !was)), []);
  useEffect(() => layers.answer("details", () => row && openDetails(row, window)), [row, window]);
  useEffect(() => {
    document.title = row ? `${row.title} · Chatkeep` : "Chatkeep";
    return () => void (document.title = "Chatkeep");
  }, [row?.title]);
  return html`
    <main class="thread" aria-label=${words.session}>
      <${Head} session=${session} row=${row} toggleFind=${() => setFinding(!isFinding)} isFinding=${isFinding} openDetails=${isBeside ? null : openDetails} window=${window} isFar=${isFar} />
      ${isFinding && html`<${FindBar} session=${session} last=${window.last} close=${endFinding} />`}
      <${Thread} session=${session} seq=${seq} visit=${visit} window=${window} tellFar=${setFar} />
      ${window.problem?.status !== 404 && html`<${Composer} session=${session} hasModel=${hasModel} follow=${() => window.follow()} />`}
    </main>
    ${isBeside && row && html`<aside class="details-pane" aria-label=${words.details} tabindex="0"><${Details} row=${row} window=${window} /></aside>`}
  `;
}

/** @param {{ session: string, row?: SessionRow, toggleFind: () => void, isFinding: boolean, openDetails: typeof openDetails | null, window: MessageWindow, isFar: boolean }} props */
function Head({ session, row, toggleFind, isFinding, openDetails: open, window, isFar }) {
  useObserved(renaming);
  const toEnd = (/** @type {TemplateEvent} */ event) => {
    event.preventDefault(); // the browser does nothing where the address is this one already
    const box = document.querySelector(".scroll");
    if (box instanceof HTMLElement) box.focus(); // the link goes
    go(sessionLink(session));
  };
  const title = (/** @type {SessionRow} */ one) => html`<button class="rename" title=${`${words.rename} (r)`} onClick=${() => renaming.begin("head", one)}>${one.title}</button>`;
  return html`
    <header class="thread-head">
      <a class="button quiet back" href="#/" aria-label=${words.backToList}>${icon("back")}</a>
      <div class="heading">
        <h1 dir="auto">${row && renaming.isAt("head", row) ? html`<${TitleField} />` : row ? title(row) : session}</h1>
        <p class="aside">
          ${row && html`<span class="channel">${channelIcon(row.channel, 13)} ${row.channel}</span> · `}
          <bdi class="key" title=${words.keyOfSession}>${session}</bdi>
          ${row && ` · ${words.messages(row.message_count)}`}
        </p>
      </div>
      ${isFar && html`<a class="button to-end" href=${sessionLink(session)} title=${`${words.toTheEnd} (G)`} onClick=${toEnd}>${icon("down")}<span class="words">${words.toTheEnd}</span></a>`}
      <button class="quiet" aria-label=${words.findInSession} title=${`${words.findInSession} (f)`} aria-pressed=${isFinding} onClick=${toggleFind}>
        ${icon("search")}
      </button>
      ${row && open && html`<button class="quiet" aria-haspopup="dialog" aria-label=${words.details} title=${`${words.details} (d)`} onClick=${() => open(row, window)}>${icon("info")}</button>`}
      ${row && html`<button class="quiet" aria-haspopup="menu" aria-label=${words.actions} title=${words.actions} onClick=${(/** @type {TemplateEvent} */ event) => openMenu(event.currentTarget, row, "head")}>
        ${icon("more")}
      </button>`}
    </header>
    ${row?.damage && html`<p class="warning" role="note">${words.damagedNote(row.damage)}</p>`}
  `;
}
