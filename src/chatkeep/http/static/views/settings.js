// The reader's choices for this browser.

import { dialog } from "../state/dialog.js";
import { settings } from "../state/settings.js";
import { LANGUAGES, words } from "../text/words.js";
import { html } from "../vendor/preact.js";
import { useObserved } from "./hooks.js";
import { icon } from "./icons.js";

/** @typedef {import("../state/settings.js").Setting} Setting */
/** @typedef {import("../vendor/preact.js").TemplateEvent} TemplateEvent */

export const openSettings = () => dialog.open({ kind: "small", label: words.settings, body: html`<${Choices} />` });

function Choices() {
  useObserved(settings);
  const choice = (/** @type {Setting} */ name, /** @type {string} */ label, /** @type {[string, string][]} */ options) => html`
    <label>${label}
      <select value=${settings[name]} onChange=${(/** @type {TemplateEvent} */ event) => settings.choose(name, event.target.value).then(openSettings)}>
        ${options.map(([value, shown]) => html`<option value=${value}>${shown}</option>`)}
      </select>
    </label>
  `;
  return html`
    <div class="sheet settings">
      <header><h2>${words.settings}</h2><button class="quiet" aria-label=${words.close} onClick=${dialog.close}>${icon("close")}</button></header>
      ${choice("theme", words.theme, Object.entries(words.themes))}
      ${choice("language", words.language, [["", words.asBrowser], ...Object.entries(LANGUAGES)])}
      <p class="aside">${words.settingsHint}</p>
    </div>
  `;
}
