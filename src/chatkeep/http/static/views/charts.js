// Counts over time as columns, and as a table for readers who cannot see them or want the figures.

import { dateFormat } from "../text/times.js";
import { words } from "../text/words.js";
import { html } from "../vendor/preact.js";

const MONTHS_MIN = 12;
const MONTHS_MAX = 36;
const compact = (/** @type {number} */ count) => new Intl.NumberFormat(words.code, { notation: "compact", maximumSignificantDigits: 3 }).format(count);
const shortMonth = (/** @type {Date} */ start) => dateFormat({ month: "short", timeZone: "UTC" }).format(start);
const longMonth = (/** @type {Date} */ start) => dateFormat({ month: "long", year: "numeric", timeZone: "UTC" }).format(start);

/** @typedef {import("../wire/api.js").Period} Period a month of UTC, as the server counts it */

/**
 * A column for each of the months up to now.
 * @param {{ title: string, periods: Period[], count: (period: Period) => number }} props
 */
export function Months({ title, periods, count }) {
  const { columns, others } = columnsOf(periods, count);
  const most = Math.max(1, ...columns.map((column) => column.count));
  const top = columns.find((column) => column.count === most);
  const few = columns.length <= MONTHS_MIN;
  return html`
    <section>
      <h2>${title}</h2>
      <div class=${`columns ${few ? "few" : ""}`} style=${{ "--columns": columns.length }} aria-hidden="true">
        ${columns.map(
          (column) => html`
            <div title=${`${longMonth(column.start)}: ${column.count.toLocaleString(words.code)}`}>
              <span class="figure">${column.count && (few || column === top) ? compact(column.count) : ""}</span>
              <span class="bar" style=${{ height: `${(100 * column.count) / most}%` }}></span>
              <span class="name">${nameOf(column.start, few)}</span>
            </div>
          `,
        )}
      </div>
      ${others > 0 && html`<p class="aside">${words.countBefore(others, longMonth(columns[0].start))}</p>`}
      <details>
        <summary>${words.figures}</summary>
        <table>
          <caption class="unseen">${title}</caption>
          <tbody>${columns.map(({ start, count: counted }) => html`<tr><th scope="row">${longMonth(start)}</th><td class="figure">${counted.toLocaleString(words.code)}</td></tr>`)}</tbody>
        </table>
      </details>
    </section>
  `;
}

/** @typedef {{ start: Date, count: number }} Column */

/**
 * Returns the columns, and the count of all that is older.
 * @param {Period[]} periods
 * @param {(period: Period) => number} count
 * @returns {{ columns: [Column, ...Column[]], others: number }}
 */
function columnsOf(periods, count) {
  const counts = new Map(periods.map((period) => [period.start.slice(0, 7), count(period)]));
  const now = new Date();
  const first = periods[0] ? new Date(periods[0].start) : now;
  const reach = (now.getUTCFullYear() - first.getUTCFullYear()) * 12 + now.getUTCMonth() - first.getUTCMonth() + 1;
  const length = Math.min(MONTHS_MAX, Math.max(MONTHS_MIN, reach));
  const column = (/** @type {number} */ nth) => {
    const start = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - length + 1 + nth, 1));
    return { start, count: counts.get(start.toISOString().slice(0, 7)) ?? 0 };
  };
  /** @type {[Column, ...Column[]]} */
  const columns = [column(0), ...Array.from({ length: length - 1 }, (_, nth) => column(nth + 1))];
  const earlier = periods.filter((period) => new Date(period.start) < columns[0].start);
  return { columns, others: earlier.reduce((sum, period) => sum + count(period), 0) };
}

/**
 * Returns the month where there is room, else the year where one begins.
 * @param {Date} start
 * @param {boolean} few
 */
function nameOf(start, few) {
  if (few) return shortMonth(start);
  return start.getUTCMonth() === 0 ? start.getUTCFullYear() : "";
}
