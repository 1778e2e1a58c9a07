// The activity of a year by day: a square for each, the darker the more messages; and the same as figures.

import { counts, dayCounts } from "../state/counts.js";
import { dateFormat } from "../text/times.js";
import { words } from "../text/words.js";
import { html, useEffect } from "../vendor/preact.js";
import { useObserved } from "./hooks.js";

/** @typedef {import("../wire/api.js").Period} Period */
/** @typedef {{ at: Date, count: number, level: number }} Day */

const WEEKS = 53;
const LEVELS = 4;
const DAY_MS = 86_400_000;

export function Days() {
  const { periods } = useObserved(dayCounts);
  const days = daysUpTo(new Date());
  const since = isoDay(days[0] ?? new Date());
  useEffect(() => void dayCounts.load(since), [since, counts.stats]);
  const known = new Map((periods ?? []).map((period) => [period.start, period.message_count]));
  const shown = levelled(days, known);
  const total = shown.reduce((sum, day) => sum + day.count, 0);
  if (periods && !total) return null;
  return html`
    <section class="days">
      <h2>${words.messagesByDay}</h2>
      <div class="calendar-frame" aria-hidden="true">
        <div class="calendar" aria-busy=${!periods}>
          ${shown.map((day, nth) => html`<span class=${`day-square level-${day.level}`} style=${nth ? undefined : { gridRowStart: weekday(day.at) + 1 }} title=${words.countOn(day.count, longDay(day.at))}></span>`)}
        </div>
        <div class="calendar-months">${monthsOf(shown).map(({ name, column }) => html`<span style=${{ gridColumnStart: column }}>${name}</span>`)}</div>
      </div>
      <p class="aside">${words.countInYear(total)}</p>
      <details>
        <summary>${words.figures}</summary>
        <div class="day-table" tabindex="0" role="region" aria-label=${words.messagesByDay}>
          <table>
            <caption class="unseen">${words.messagesByDay}</caption>
            <tbody>${shown.filter((day) => day.count).reverse().map((day) => html`<tr><th scope="row">${longDay(day.at)}</th><td class="figure">${day.count.toLocaleString(words.code)}</td></tr>`)}</tbody>
          </table>
        </div>
      </details>
    </section>
  `;
}

/** @param {Date} at */
const longDay = (at) => dateFormat({ dateStyle: "full", timeZone: "UTC" }).format(at);
/** @param {Date} at */
const isoDay = (at) => at.toISOString().slice(0, 10);
/** @param {Date} at */
const weekday = (at) => (at.getUTCDay() + 6) % 7; // Monday is 0

/**
 * Returns the days of a year up to now, from a Monday on. They are days of UTC, as the server counts.
 * @param {Date} now
 */
function daysUpTo(now) {
  const today = Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), now.getUTCDate());
  const length = (WEEKS - 1) * 7 + weekday(new Date(today)) + 1;
  return Array.from({ length }, (_, nth) => new Date(today - (length - 1 - nth) * DAY_MS));
}

/**
 * Returns the days with their counts, and levels from 0 to 4 on a scale of logarithms: a busy day leaves others visible.
 * @param {Date[]} days
 * @param {Map<string, number>} known
 * @returns {Day[]}
 */
function levelled(days, known) {
  const counted = days.map((at) => ({ at, count: known.get(isoDay(at)) ?? 0 }));
  const most = Math.log1p(Math.max(1, ...counted.map(({ count }) => count)));
  return counted.map(({ at, count }) => ({ at, count, level: Math.ceil((LEVELS * Math.log1p(count)) / most) }));
}

/**
 * Returns the names of the months, and the columns that they begin in.
 * @param {Day[]} days
 */
function monthsOf(days) {
  const firsts = days.map(({ at }, nth) => ({ at, column: Math.floor(nth / 7) + 1 })).filter(({ at }) => at.getUTCDate() === 1);
  return firsts.map(({ at, column }) => ({ column, name: dateFormat({ month: "short", timeZone: "UTC" }).format(at) }));
}
