// What there is, in a few figures: the page that is shown when no session is open.

import { html } from "./vendor/preact.js";

export function Overview({ status }) {
  if (!status) return html`<main class="overview" aria-label="Overview"></main>`;
  return html`
    <main class="overview" aria-label="Overview">
      <h1>${status.session_count.toLocaleString()} sessions</h1>
    </main>
  `;
}
