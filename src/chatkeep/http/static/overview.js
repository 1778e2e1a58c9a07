// What there is, in figures: the page that is shown when no session is open.

import { html, useEffect, useState } from "./vendor/preact.js";
import * as api from "./api.js";
import { channelIcon, icon } from "./icons.js";
import { notices } from "./notices.js";
import { openSearch } from "./search.js";

const MONTHS = 12;
const monthFormat = new Intl.DateTimeFormat("en", { month: "short" });
const longFormat = new Intl.DateTimeFormat("en", { month: "long", year: "numeric" });

export function Overview({ status, leave }) {
  const [months, setMonths] = useState(null);
  useEffect(() => {
    if (status) activity().then(setMonths, () => {});
  }, [status]);
  const signOut = async () => {
    try {
      await api.signOut();
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
        <button onClick=${openSearch}>${icon("search")} Search</button>
        <a class="button" href="/docs">API</a>
        <button onClick=${signOut}>${icon("leave")} Sign out</button>
      </header>
      ${status && html`<${Figures} status=${status} />`}
      ${months && html`<${Months} months=${months} />`}
      ${status && html`<${Channels} channels=${status.channels} />`}
    </main>
  `;
}

function Figures({ status }) {
  const figures = [
    [status.session_count.toLocaleString(), "sessions"],
    [status.message_count.toLocaleString(), "messages"],
    [size(status.size_bytes), "on the disk"],
  ];
  const problems = Object.entries(status.problems);
  return html`
    <dl class="figures">
      ${figures.map(([figure, words]) => html`<div><dt>${words}</dt><dd>${figure}</dd></div>`)}
    </dl>
    ${problems.length > 0 &&
    html`<p class="warning">${problems.length} ${problems.length === 1 ? "file" : "files"} cannot be served whole: chatkeep doctor says more.</p>`}
  `;
}

/** How many sessions were last active in each of the past months: the differences of what lists count. */
async function activity() {
  const now = new Date();
  const starts = Array.from({ length: MONTHS }, (_, back) => new Date(now.getFullYear(), now.getMonth() - MONTHS + 1 + back, 1));
  const before = (time) => api.listSessions({ archived: "all", updated_before: time?.toISOString(), limit: 1 });
  const counts = (await Promise.all([...starts, null].map(before))).map((page) => page.total);
  return { earlier: counts[0], bars: starts.map((start, nth) => ({ start, count: counts[nth + 1] - counts[nth] })) };
}

function Months({ months: { earlier, bars } }) {
  const most = Math.max(1, ...bars.map((bar) => bar.count));
  const told = bars.map(({ start, count }) => `${longFormat.format(start)}: ${count}`).join(", ");
  return html`
    <section>
      <h2>Sessions by the month of their last message</h2>
      <div class="months" role="img" aria-label=${told}>
        ${bars.map(
          ({ start, count }) => html`
            <div class="month" title=${`${longFormat.format(start)}: ${count.toLocaleString()} sessions`}>
              <span class="figure">${count ? count.toLocaleString() : ""}</span>
              <span class="bar" style=${{ height: `calc((100% - 1.3rem) * ${count / most})` }}></span>
              <span class="name">${monthFormat.format(start)}</span>
            </div>
          `,
        )}
      </div>
      ${earlier > 0 && html`<p class="aside">${earlier.toLocaleString()} sessions are older.</p>`}
    </section>
  `;
}

function Channels({ channels }) {
  const all = Object.entries(channels).sort(([, one], [, other]) => other - one);
  if (!all.length) return null;
  const most = all[0][1];
  return html`
    <section>
      <h2>Sessions by channel</h2>
      <ul class="channels">
        ${all.slice(0, 12).map(
          ([name, count]) => html`
            <li>
              <span class="name">${channelIcon(name)} <bdi>${name}</bdi></span>
              <span class="track"><span class="bar" style=${{ width: `${(100 * count) / most}%` }}></span></span>
              <span class="figure">${count.toLocaleString()}</span>
            </li>
          `,
        )}
      </ul>
    </section>
  `;
}

function size(bytes) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  const step = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
  const value = bytes / 1000 ** step;
  return `${value < 10 && step ? value.toFixed(1) : Math.round(value)} ${units[step]}`;
}
