// What there is, in figures: the page that is shown when no session is open.

import { notices } from "../state/notices.js";
import { sessionLink } from "../state/route.js";
import { signOut } from "../state/sign-in.js";
import { serverStatus } from "../state/status.js";
import { html } from "../vendor/preact.js";
import { Months } from "./charts.js";
import { useCounts, useObserved } from "./hooks.js";
import { channelIcon, icon } from "./icons.js";
import { openSearch } from "./search.js";

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
    <main class="overview" aria-label="Overview">
      <header>
        <a class="button quiet back" href="#/" aria-label="Back to the list">${icon("back")}</a>
        <h1>Overview</h1>
        <button aria-label="Search" onClick=${openSearch}>${icon("search")}<span class="words">Search</span></button>
        <a class="button" href="/docs">API</a>
        <button onClick=${end}>${icon("leave")} Sign out</button>
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
    [status?.session_count.toLocaleString(), "sessions"],
    [status?.message_count.toLocaleString(), "messages"],
    [status && size(status.size_bytes), "on the disk"],
  ];
  const problems = Object.keys(status?.problems ?? {}).length;
  return html`
    <dl class="figures" aria-busy=${!status}>
      ${figures.map(([figure, words]) => html`<div><dt>${words}</dt><dd>${figure ?? "…"}</dd></div>`)}
    </dl>
    ${problems > 0 &&
    html`<p class="warning">${problems} ${problems === 1 ? "file" : "files"} cannot be served whole: <code>chatkeep doctor</code> says more.</p>`}
  `;
}

/** Counts that take the server longer: asked when the list is there. */
function Plots() {
  const counts = useCounts();
  const { stats, problem } = counts;
  if (problem) return html`<div class="nothing" role="alert"><p>${problem.message}</p><button onClick=${() => counts.load()}>Try again</button></div>`;
  if (!stats) return html`<div class="ghosts" role="status" aria-label="Counting">${[1, 2, 3].map(() => html`<div class="ghost tall"></div>`)}</div>`;
  if (!stats.session_count) return null;
  return html`
    <div class="plots">
      <${Months} title="New sessions by month" periods=${stats.periods} count=${(/** @type {Period} */ period) => period.session_count} />
      <${Months} title="Messages by month" periods=${stats.periods} count=${(/** @type {Period} */ period) => period.message_count} />
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
      <h2>Channels</h2>
      <table class="ranks">
        <thead><tr><th>Channel</th><th class="figure">Sessions</th><th class="figure">Messages</th><th class="figure">Size</th></tr></thead>
        <tbody>
          ${channels.slice(0, CHANNELS_SHOWN).map(
            (one) => html`
              <tr>
                <th scope="row">${channelIcon(one.channel, 14)} <bdi>${one.channel}</bdi><span class="bar" style=${{ width: `${(100 * one.session_count) / most}%` }}></span></th>
                <td class="figure">${one.session_count.toLocaleString()}</td>
                <td class="figure">${one.message_count.toLocaleString()}</td>
                <td class="figure">${size(one.size_bytes)}</td>
              </tr>
            `,
          )}
        </tbody>
      </table>
      ${channels.length > CHANNELS_SHOWN && html`<p class="aside">And ${channels.length - CHANNELS_SHOWN} more.</p>`}
    </section>
  `;
}

/** @param {{ sessions: import("../wire/api.js").LargeSession[] }} props */
function Largest({ sessions }) {
  const most = Math.max(1, ...sessions.map((one) => one.size_bytes));
  return html`
    <section>
      <h2>Largest sessions</h2>
      <table class="ranks">
        <thead><tr><th>Session</th><th class="figure">Messages</th><th class="figure">Size</th></tr></thead>
        <tbody>
          ${sessions.map(
            (one) => html`
              <tr>
                <th scope="row"><a href=${sessionLink(one.key)} title=${one.key} dir="auto">${one.title}</a><span class="bar" style=${{ width: `${(100 * one.size_bytes) / most}%` }}></span></th>
                <td class="figure">${one.message_count.toLocaleString()}</td>
                <td class="figure">${size(one.size_bytes)}</td>
              </tr>
            `,
          )}
        </tbody>
      </table>
    </section>
  `;
}

/** @param {number} bytes */
function size(bytes) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  const step = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
  const value = bytes / 1000 ** step;
  return `${value < 10 && step ? value.toFixed(1) : Math.round(value)} ${units[step]}`;
}
