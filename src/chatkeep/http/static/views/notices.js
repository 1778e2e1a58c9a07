// Notices at the foot of the page.

import { notices } from "../state/notices.js";
import { words } from "../text/words.js";
import { html } from "../vendor/preact.js";
import { useObserved } from "./hooks.js";
import { icon } from "./icons.js";

export function NoticeBoard() {
  useObserved(notices);
  return html`
    <div class="notices" role="status" aria-live="polite">
      ${notices.shown.map(
        (notice) => html`
          <div class=${`notice ${notice.kind}`}>
            <span dir="auto">${notice.text}</span>
            ${notice.undo && html`<button class="plain" onClick=${notice.undo}>${words.undo}</button>`}
            <button class="quiet" aria-label=${words.dismiss} onClick=${notice.away}>${icon("close", 14)}</button>
          </div>
        `,
      )}
    </div>
  `;
}
