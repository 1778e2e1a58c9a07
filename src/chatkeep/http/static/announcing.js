// What a screen reader is told that others see: one line, spoken when the reader pauses.

import { html } from "./vendor/preact.js";
import { Model, useModel } from "./model.js";

class Announcer extends Model {
  text = "";

  say(text) {
    this.text = this.text === text ? `${text}\u00a0` : text; // the same words again are spoken again
    this.changed();
  }
}

export const announcer = new Announcer();

export function Announcements() {
  const { text } = useModel(announcer);
  return html`<p class="unseen" role="status" aria-label="Progress">${text}</p>`;
}
