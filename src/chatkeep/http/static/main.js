// The page begins here: sign in, then the list on one side and what is open on the other.

import { html, render, useEffect, useState } from "./vendor/preact.js";
import { copy } from "./actions.js";
import { Announcements } from "./announcing.js";
import * as api from "./api.js";
import { Composer } from "./composer.js";
import { follow } from "./feed.js";
import { listenToKeys, openHelp } from "./help.js";
import { icon } from "./icons.js";
import { SessionPane } from "./list.js";
import { DialogStage } from "./menu.js";
import { useMedia, useModel } from "./model.js";
import { NoticeBoard } from "./notices.js";
import { Overview } from "./overview.js";
import { place } from "./routes.js";
import { sessions } from "./sessions.js";
import { SignIn, spendCode } from "./signin.js";
import { SessionScreen } from "./thread.js";

const MINUTE_MS = 60_000;

// The buttons on code lie in rendered text, so they are listened to here.
addEventListener("click", (event) => {
  const button = event.target.closest?.("button[data-copies]");
  if (button) copy(button.closest("figure").querySelector("pre").textContent, "the code");
});

/** Who wants to know which session got messages, or is gone. */
const appended = {
  listeners: new Set(),
  listen(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  },
  tell(key, isGone = false) {
    for (const listener of this.listeners) listener(key, isGone);
  },
};

function App() {
  const [reason, setReason] = useState(null);
  const [isIn, setIn] = useState(null);
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
  return html`<${Panes} isIn=${isIn} leave=${() => location.reload()} />`;
}

function Panes({ isIn, leave }) {
  useModel(place);
  const isWide = useMedia("(min-width: 50rem)");
  const [status, setStatus] = useState(null);
  const [, setMinute] = useState(0);
  useEffect(() => {
    if (!isIn) return undefined;
    const end = follow((name, data) => take(name, data, leave));
    const timer = setInterval(() => setMinute((count) => count + 1), MINUTE_MS); // so that "5 min" becomes "6 min"
    return () => {
      end();
      clearInterval(timer);
    };
  }, [isIn]);
  useEffect(() => {
    if (!isIn) return undefined;
    const asking = new AbortController();
    api.status(asking.signal).then(setStatus, () => {});
    return () => asking.abort();
  }, [isIn, place.screen]);
  useEffect(listenToKeys, []);
  const hasModel = status?.chat ?? null;
  const isOpen = place.screen !== "home";
  return html`
    <div class=${`panes ${isOpen ? "is-open" : ""}`}>
      ${(isWide || !isOpen) && html`<${SessionPane} channels=${status?.channels ?? {}} isMain=${!isWide} openHelp=${openHelp} />`}
      ${place.screen === "session" &&
      html`<${SessionScreen} key=${place.key} session=${place.key} seq=${place.seq} visit=${place.visit} hasModel=${hasModel} appended=${appended} />`}
      ${place.screen === "new" && html`<${NewChat} hasModel=${hasModel} />`}
      ${place.screen === "home" && isWide && html`<${Overview} status=${status} leave=${leave} />`}
      ${place.screen === "overview" && html`<${Overview} status=${status} leave=${leave} />`}
    </div>
    <${DialogStage} />
    <${NoticeBoard} />
    <${Announcements} />
  `;
}

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

/** Takes in what the feed tells. */
function take(name, data, leave) {
  if (name === "signed out") leave();
  else if (name === "again") sessions.refresh();
  else if (data.session) sessions.put(data.session);
  else sessions.remove(data.key);
  if (name !== "signed out") appended.tell(data.key ?? place.key, name === "deleted");
}

render(html`<${App} />`, document.getElementById("page"));
