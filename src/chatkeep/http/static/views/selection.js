// What can be done with the sessions that are selected.

import * as actions from "../state/actions.js";
import { sessions } from "../state/sessions.js";
import { words } from "../text/words.js";
import { html } from "../vendor/preact.js";
import { icon } from "./icons.js";
import { askTags } from "./tags.js";

export function Selection() {
  const rows = sessions.rows.filter((row) => sessions.selected.has(row.id));
  const then = (/** @type {() => void} */ act) => () => {
    act();
    sessions.selectNone();
  };
  const isArchived = rows.every((row) => row.archived);
  const isPinned = rows.every((row) => row.pinned);
  return html`
    <div class="selection" role="toolbar" aria-label=${words.selectedSessions}>
      <strong aria-live="polite">${words.selected(rows.length)}</strong>
      <button class="quiet" onClick=${() => sessions.selectAll()}>${words.selectAll}</button>
      <button class="quiet" aria-label=${words.selectNone} title=${words.selectNone} onClick=${() => sessions.selectNone()}>${icon("close")}</button>
      <span class="acts">
        <button aria-label=${isPinned ? words.unpin : words.pin} title=${isPinned ? words.unpin : words.pin} onClick=${() => actions.pin(rows)}>${icon("pin")}</button>
        <button aria-label=${words.tags} title=${words.tags} onClick=${() => askTags(rows)}>${icon("tag")}</button>
        <button onClick=${then(() => actions.archive(rows, !isArchived))}>${isArchived ? words.unarchive : words.archive}</button>
        <button onClick=${() => actions.save(rows, "jsonl")}>${words.save}</button>
        <button class="danger" onClick=${then(() => actions.remove(rows))}>${words.delete}</button>
      </span>
    </div>
  `;
}
