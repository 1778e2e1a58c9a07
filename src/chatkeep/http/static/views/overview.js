// What there is, in figures: the page that is shown when no session is open.

import { notices } from "../state/notices.js";
import { sessionLink } from "../state/route.js";
import { signOut } from "../state/sign-in.js";
import { serverStatus } from "../state/status.js";
import { sized } from "../text/sizes.js";
import { words } from "../text/words.js";
import { html } from "../vendor/preact.js";
import { Months } from "./charts.js";
import { Days } from "./days.js";
import { useCounts, useObserved } from "./hooks.js";
import { channelIcon, icon } from "./icons.js";
import { ImportButton } from "./importing.js";
import { openSearch } from "./search.js";
import { openSettings } from "./settings.js";

/** @typedef {import("../wire/api.js").Status} Status */
/** @typedef {import("../wire/api.js").Period} Period */

const CHANNELS_SHOWN = 12;

/** @param {{ leave: () => void }} props */
export function Overview({ leave }) {
  const status = useObserved(serverStatus).known;
  const end = async () => {
    try {
      await signOut();
      leave();
    } catch (error) {
      notices.complain(error);
    }
  };
  return html`
    <main class="overview" aria-label=${words.overview}>
      <header>
        <a class="button quiet back" href="#/" aria-label=${words.backToList}>${icon("back")}</a>
        <h1>${words.overview}</h1>
        <button aria-label=${words.search} onClick=${openSearch}>${icon("search")}<span class="words">${words.search}</span></button>
        <${ImportButton} />
        <button aria-label=${words.settings} title=${`${words.settings} (,)`} onClick=${openSettings}>${icon("settings")}<span class="words">${words.settings}</span></button>
        <a class="button" href="/docs">API</a>
        <button aria-label=${words.signOut} onClick=${end}>${icon("leave")}<span class="words">${words.signOut}</span></button>
      </header>
      <${Figures} status=${status} />
      ${status && html`<${Plots} />`}
    </main>
  `;
}

/** @param {{ status: Status | null }} props */
function Figures({ status }) {
  /** @type {[string | null | undefined, string][]} */
  const figures = [
    [status?.session_count.toLocaleString(words.code), words.figureSessions],
    [status?.message_count.toLocaleString(words.code), words.figureMessages],
    [status && sized(status.size_bytes), words.onDisk],
  ];
  const problems = Object.keys(status?.problems ?? {}).length;
  return html`
    <dl class="figures" aria-busy=${!status}>
      ${figures.map(([figure, name]) => html`<div><dt>${name}</dt><dd>${figure ?? "…"}</dd></div>`)}
    </dl>
    ${problems > 0 &&
    html`<p class="warning">${words.filesInTrouble(problems)} <code>chatkeep doctor</code></p>`}
  `;
}

/** Counts that take the server longer: asked when the list is there. */
function Plots() {
  const counts = useCounts();
  const { stats, problem } = counts;
  if (problem) return html`<div class="nothing" role="alert"><p>${problem.message}</p><button onClick=${() => counts.load()}>${words.tryAgain}</button></div>`;
  if (!stats) return html`<div class="ghosts" role="status" aria-label=${words.counting}>${[1, 2, 3].map(() => html`<div class="ghost tall"></div>`)}</div>`;
  if (!stats.session_count) return null;
  return html`
    <${Days} />
    <div class="plots">
      <${Months} title=${words.sessionsByMonth} periods=${stats.periods} count=${(/** @type {Period} */ period) => period.session_count} />
      <${Months} title=${words.messagesByMonth} periods=${stats.periods} count=${(/** @type {Period} */ period) => period.message_count} />
      <${Channels} channels=${stats.channels} />
      <${Largest} sessions=${stats.largest} />
    </div>
  `;
}

/** @param {{ channels: import("../wire/api.js").ChannelTotals[] }} props */
function Channels({ channels }) {
  const most = Math.max(1, ...channels.map((one) => one.session_count));
  return html`
    <section>
      <h2>${words.channels}</h2>
      <table class="ranks">
        <thead><tr><th>${words.channel}</th><th class="figure">${words.sessionsRegion}</th><th class="figure">${words.messagesRegion}</th><th class="figure">${words.size}</th></tr></thead>
        <tbody>
          ${channels.slice(0, CHANNELS_SHOWN).map(
            (one) => html`
              <tr>
                <th scope="row">${channelIcon(one.channel, 14)} <bdi>${one.channel}</bdi><span class="bar" style=${{ width: `${(100 * one.session_count) / most}%` }}></span></th>
                <td class="figure">${one.session_count.toLocaleString(words.code)}</td>
                <td class="figure">${one.message_count.toLocaleString(words.code)}</td>
                <td class="figure">${sized(one.size_bytes)}</td>
              </tr>
            `,
          )}
        </tbody>
      </table>
      ${channels.length > CHANNELS_SHOWN && html`<p class="aside">${words.andMore(channels.length - CHANNELS_SHOWN)}</p>`}
    </section>
  `;
}

/** @param {{ sessions: import("../wire/api.js").LargeSession[] }} props */
function Largest({ sessions }) {
  const most = Math.max(1, ...sessions.map((one) => one.size_bytes));
  return html`
    <section>
      <h2>${words.largest}</h2>
      <table class="ranks">
        <thead><tr><th>${words.session}</th><th class="figure">${words.messagesRegion}</th><th class="figure">${words.size}</th></tr></thead>
        <tbody>
          ${sessions.map(
            (one) => html`
              <tr>
                <th scope="row"><a href=${sessionLink(one.key)} title=${one.key} dir="auto">${one.title}</a><span class="bar" style=${{ width: `${(100 * one.size_bytes) / most}%` }}></span></th>
                <td class="figure">${one.message_count.toLocaleString(words.code)}</td>
                <td class="figure">${sized(one.size_bytes)}</td>
              </tr>
            `,
          )}
        </tbody>
      </table>
    </section>
  `;
}
