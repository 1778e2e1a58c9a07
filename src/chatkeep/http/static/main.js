// The page begins here: sign in, then the list on one side and what is open on the other.

import { copy } from "./state/actions.js";
import { follow } from "./state/feed.js";
import { route } from "./state/route.js";
import { sessions } from "./state/sessions.js";
import { spendCode } from "./state/sign-in.js";
import { serverStatus } from "./state/status.js";
import { html, render, useEffect, useState } from "./vendor/preact.js";
import { Announcements } from "./views/announcements.js";
import { Composer } from "./views/composer.js";
import { DialogStage } from "./views/dialog.js";
import { useMedia, useObserved } from "./views/hooks.js";
import { icon } from "./views/icons.js";
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
  if (code) copy(code.textContent ?? "", "the code");
});

function App() {
  const [reason, setReason] = useState(/** @type {string | null} */ (null));
  const [isIn, setIn] = useState(/** @type {boolean | null} */ (null));
  const enter = async () => {
    await sessions.load();
    setIn(sessions.problem?.status !== 401);
  };
  useEffect(() => {
    spendCode().then((why) => {
      setReason(why);
      enter();
    });
  }, []);
  if (isIn === false) return html`<${SignIn} reason=${reason} enter=${enter} />`;
  return html`<${Panes} isIn=${isIn ?? false} leave=${() => location.reload()} />`;
}

/** @param {{ isIn: boolean, leave: () => void }} props */
function Panes({ isIn, leave }) {
  useObserved(route);
  const status = useObserved(serverStatus).known;
  const isWide = useMedia("(min-width: 50rem)");
  const [, setMinute] = useState(0);
  useEffect(() => {
    if (!isIn) return undefined;
    const end = follow(leave);
    const timer = setInterval(() => setMinute((count) => count + 1), MINUTE_MS); // so that "5 min" becomes "6 min"
    return () => {
      end();
      clearInterval(timer);
    };
  }, [isIn]);
  useEffect(() => (isIn ? serverStatus.load() : undefined), [isIn, route.screen]);
  useEffect(listenToKeys, []);
  const hasModel = status?.chat ?? null;
  const isOpen = route.screen !== "home";
  return html`
    <div class=${`panes ${isOpen ? "is-open" : ""}`}>
      ${(isWide || !isOpen) && html`<${SessionPane} channels=${status?.channels ?? {}} isMain=${!isWide} openHelp=${openHelp} />`}
      ${route.screen === "session" &&
      html`<${SessionScreen} key=${route.key} session=${route.key} seq=${route.seq} visit=${route.visit} hasModel=${hasModel} />`}
      ${route.screen === "new" && html`<${NewChat} hasModel=${hasModel} />`}
      ${route.screen === "home" && isWide && html`<${Overview} leave=${leave} />`}
      ${route.screen === "overview" && html`<${Overview} leave=${leave} />`}
    </div>
    <${DialogStage} />
    <${NoticeBoard} />
    <${Announcements} />
  `;
}

/** @param {{ hasModel: boolean | null }} props */
function NewChat({ hasModel }) {
  return html`
    <main class="thread" aria-label="New chat">
      <header class="thread-head">
        <a class="button quiet back" href="#/" aria-label="Back to the list">${icon("back")}</a>
        <h1>New chat</h1>
      </header>
      <div class="scroll">${hasModel && html`<p class="nothing">What you write begins a new session.</p>`}</div>
      <${Composer} hasModel=${hasModel} />
    </main>
  `;
}

render(html`<${App} />`, /** @type {Element} */ (document.getElementById("page")));
