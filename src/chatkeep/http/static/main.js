// The page begins here: sign in, then the list on one side and what is open on the other.

import { copy } from "./state/actions.js";
import { forgetDrafts } from "./state/drafts.js";
import { follow } from "./state/feed.js";
import { route } from "./state/route.js";
import { sessions } from "./state/sessions.js";
import { settings } from "./state/settings.js";
import { spendCode } from "./state/sign-in.js";
import { serverStatus } from "./state/status.js";
import { turns } from "./state/turns.js";
import { words } from "./text/words.js";
import { html, render, useEffect, useState } from "./vendor/preact.js";
import { Announcements } from "./views/announcements.js";
import { Composer } from "./views/composer.js";
import { DialogStage } from "./views/dialog.js";
import { GrowingAnswer } from "./views/growing-answer.js";
import { useMedia, useObserved } from "./views/hooks.js";
import { icon } from "./views/icons.js";
import { DropTarget } from "./views/importing.js";
import { listenToKeys, openHelp } from "./views/keyboard.js";
import { NoticeBoard } from "./views/notices.js";
import { Overview } from "./views/overview.js";
import { SessionPane } from "./views/session-list.js";
import { SessionScreen } from "./views/session.js";
import { SignIn } from "./views/sign-in.js";

const MINUTE_MS = 60_000;

// The buttons on code lie in rendered text, so they are listened to here.
addEventListener("click", (event) => {
  const button = event.target instanceof Element && event.target.closest("button[data-copies]");
  const code = button && button.closest("figure")?.querySelector("pre");
  if (code) copy(code.textContent ?? "", words.theCode);
});

function App() {
  useObserved(settings);
  const [reason, setReason] = useState(/** @type {string | null} */ (null));
  const [isIn, setIn] = useState(/** @type {boolean | null} */ (null));
  const enter = async () => {
    await sessions.load();
    setIn(sessions.problem?.status !== 401);
  };
  useEffect(() => {
    const come = async () => {
      const why = await spendCode();
      if (why === undefined && isIn !== null) return;
      setReason(why ?? null);
      await enter();
    };
    come();
    const pasted = () => void (location.hash.startsWith("#code=") && come()); // a link put into the open page
    addEventListener("hashchange", pasted);
    return () => removeEventListener("hashchange", pasted);
  }, []);
  if (isIn === false) return html`<${SignIn} key=${words.code + reason} reason=${reason} enter=${enter} />`;
  return html`<${Panes} key=${words.code} isIn=${isIn ?? false} leave=${leave} />`;
}

/** Begins anew, for whoever signs in next. */
function leave() {
  forgetDrafts();
  location.reload();
}

/** @param {{ isIn: boolean, leave: () => void }} props */
function Panes({ isIn, leave: end }) {
  useObserved(route);
  const status = useObserved(serverStatus).known;
  const isWide = useMedia("(min-width: 50rem)");
  const isBeside = useMedia("(min-width: 88rem)");
  const [, setMinute] = useState(0);
  useEffect(() => {
    if (!isIn) return undefined;
    const stop = follow(end);
    const timer = setInterval(() => setMinute((count) => count + 1), MINUTE_MS); // so that "5 min" becomes "6 min"
    return () => {
      stop();
      clearInterval(timer);
    };
  }, [isIn]);
  useEffect(() => (isIn ? serverStatus.load() : undefined), [isIn, route.screen]);
  useEffect(listenToKeys, []);
  const hasModel = status?.chat ?? null;
  const { screen } = route;
  const isOpen = screen !== "home";
  return html`
    <div class=${`panes ${isOpen ? "is-open" : ""} ${isBeside && screen === "session" ? "has-details" : ""}`}>
      ${(isWide || !isOpen) && html`<${SessionPane} channels=${status?.channels ?? {}} isMain=${!isWide} openHelp=${openHelp} />`}
      ${screen === "session" &&
      html`<${SessionScreen} key=${route.key} session=${route.key} seq=${route.seq} visit=${route.visit} hasModel=${hasModel} isBeside=${isBeside} />`}
      ${screen === "new" && html`<${NewChat} hasModel=${hasModel} />`}
      ${(screen === "overview" || (screen === "home" && isWide)) && html`<${Overview} leave=${end} />`}
    </div>
    <${DialogStage} />
    <${NoticeBoard} />
    <${Announcements} />
    <${DropTarget} />
  `;
}

/** @param {{ hasModel: boolean | null }} props */
function NewChat({ hasModel }) {
  const turn = useObserved(turns).of(null);
  return html`
    <main class="thread" aria-label=${words.newChat}>
      <header class="thread-head">
        <a class="button quiet back" href="#/" aria-label=${words.backToList}>${icon("back")}</a>
        <h1>${words.newChat}</h1>
      </header>
      <div class="scroll">
        ${turn && turn.text !== null ? html`<div class="messages"><${GrowingAnswer} turn=${turn} seq=${0} /></div>` : hasModel && html`<p class="nothing">${words.newChatHint}</p>`}
      </div>
      <${Composer} hasModel=${hasModel} />
    </main>
  `;
}

const root = /** @type {Element} */ (document.getElementById("page"));
settings.apply().then(() => render(html`<${App} />`, root)); // a language may have to be loaded first
