// Short messages at the foot of the page, some with a way back.

import { html } from "./vendor/preact.js";
import { icon } from "./icons.js";
import { Model, useModel } from "./model.js";

const SHOWN_MS = 5000;

class Notices extends Model {
  all = [];

  /** Shows a sentence; returns a function that takes it away. `undo` gets a button. */
  say(text, { undo, kind = "done", shown_ms = SHOWN_MS } = {}) {
    const notice = { text, undo, kind };
    const away = () => {
      clearTimeout(timer);
      this.all = this.all.filter((other) => other !== notice);
      this.changed();
    };
    const timer = setTimeout(away, shown_ms);
    notice.away = away;
    this.all = [...this.all, notice];
    this.changed();
    return away;
  }

  complain(error) {
    this.say(error.message, { kind: "problem", shown_ms: 8000 });
  }
}

export const notices = new Notices();

export function NoticeBoard() {
  useModel(notices);
  return html`
    <div class="notices" role="status" aria-live="polite">
      ${notices.all.map(
        (notice) => html`
          <div class=${`notice ${notice.kind}`}>
            <span dir="auto">${notice.text}</span>
            ${notice.undo && html`<button class="plain" onClick=${notice.undo}>Undo</button>`}
            <button class="quiet" aria-label="Dismiss" onClick=${notice.away}>${icon("close", 14)}</button>
          </div>
        `,
      )}
    </div>
  `;
}
