// Where one goes on with a session, when the server has a model.

import { html } from "./vendor/preact.js";

export function Composer() {
  return html``;
}
