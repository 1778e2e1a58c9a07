// The filters over the list.

import { sessions } from "../state/sessions.js";
import { words } from "../text/words.js";
import { html, useState } from "../vendor/preact.js";
import { useCounts } from "./hooks.js";
import { icon } from "./icons.js";

/** @typedef {import("../state/sessions.js").Filter} Filter */
/** @typedef {import("../vendor/preact.js").TemplateEvent} TemplateEvent */
/** @typedef {[string, string][]} Options values with their words */
/** @typedef {(name: keyof Filter, label: string, options: Options) => object} Choice */

/** @param {{ channels: Record<string, number> }} props */
export function Filters({ channels }) {
  const { filter, total, isLoading, isFiltered } = sessions;
  const [isOpen, setOpen] = useState(false);
  const choose = (/** @type {string} */ name) => (/** @type {TemplateEvent} */ event) => sessions.choose({ [name]: event.target.value });
  /** @type {Choice} */
  const choice = (name, label, options) => html`
    <select aria-label=${label} value=${filter[name]} class=${filter[name] === options[0]?.[0] ? "" : "set"} onChange=${choose(name)}>
      ${options.map(([value, shown]) => html`<option value=${value}>${shown}</option>`)}
    </select>
  `;
  const day = (/** @type {"from" | "until"} */ name, /** @type {string} */ label) => html`
    <label>${label}<input type="date" max="2999-12-31" value=${filter[name]} class=${filter[name] ? "set" : ""} onChange=${choose(name)} /></label>
  `;
  const states = /** @type {Options} */ (Object.entries(words.states));
  return html`
    <div class="filters" role="group" aria-label=${words.filters}>
      ${choice("channel", words.channel, named(words.allChannels, Object.keys(channels)))}
      ${choice("state", words.state, states)}
      <button class="quiet" aria-label=${words.moreFilters} title=${words.moreFiltersHint} aria-expanded=${isOpen} aria-pressed=${isOpen || Boolean(filter.tag || filter.from || filter.until)} onClick=${() => setOpen(!isOpen)}>
        ${icon("filter")}
      </button>
      ${isFiltered && html`<button class="quiet" aria-label=${words.clearFilters} title=${words.clearFilters} onClick=${() => sessions.choose()}>${icon("close")}</button>`}
      <span class="count" aria-live="polite" title=${filter.state === "current" ? words.countHint : ""}>${isLoading && !sessions.rows.length ? "" : words.sessions(total)}</span>
      ${isOpen &&
      html`<div class="more-filters">
        <${Tags} choice=${choice} /> ${day("from", words.from)} ${day("until", words.until)}
      </div>`}
    </div>
  `;
}

/**
 * The choice of a tag; the server is asked for the tags when it is shown.
 * @param {{ choice: Choice }} props
 */
function Tags({ choice }) {
  const tags = (useCounts().stats?.tags ?? []).map((one) => one.tag);
  return choice("tag", words.tag, named(tags.length ? words.allTags : words.noTags, tags));
}

/** @type {(all: string, names: string[]) => Options} */
const named = (all, names) => [["", all], ...names.map((name) => /** @type {[string, string]} */ ([name, name]))];
