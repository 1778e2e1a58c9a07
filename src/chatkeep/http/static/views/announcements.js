// The line that screen readers read out.

import { announcer } from "../state/announcer.js";
import { words } from "../text/words.js";
import { html } from "../vendor/preact.js";
import { useObserved } from "./hooks.js";

export function Announcements() {
  const { text } = useObserved(announcer);
  return html`<p class="unseen" role="status" aria-label=${words.progress}>${text}</p>`;
}
