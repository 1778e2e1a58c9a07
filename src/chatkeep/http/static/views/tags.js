// The tags of sessions as chips, with the known ones offered while one types.

import { tag } from "../state/actions.js";
import { dialog } from "../state/dialog.js";
import { words } from "../text/words.js";
import { html, useRef, useState } from "../vendor/preact.js";
import { useCounts } from "./hooks.js";
import { icon } from "./icons.js";

/** @typedef {import("../state/actions.js").SessionRow} SessionRow */
/** @typedef {import("../vendor/preact.js").TemplateEvent} TemplateEvent */

const COMMA = /[,，、]/;

/**
 * Asks for the tags of sessions, and sets them. Of several sessions the common tags are shown; others stay.
 * @param {SessionRow[]} rows
 */
export function askTags(rows) {
  if (rows.length) dialog.open({ kind: "small", label: words.tags, body: html`<${Tagging} rows=${rows} />` });
}

/** @param {{ rows: SessionRow[] }} props */
function Tagging({ rows }) {
  const [first, ...others] = rows;
  const before = (first?.tags ?? []).filter((one) => others.every((row) => row.tags.includes(one)));
  const [chosen, setChosen] = useState(before);
  const [text, setText] = useState("");
  /** @type {import("../vendor/preact.js").Ref<HTMLInputElement>} */
  const field = useRef();
  const known = (useCounts().stats?.tags ?? []).map((one) => one.tag).filter((one) => !chosen.includes(one));
  const write = (/** @type {TemplateEvent} */ event) => {
    const pieces = event.target.value.split(COMMA);
    const rest = pieces.pop() ?? "";
    if (pieces.length) setChosen(together(chosen, pieces));
    setText(pieces.length ? rest.trimStart() : rest);
  };
  const drop = (/** @type {string} */ one) => {
    setChosen(chosen.filter((other) => other !== one));
    field.current.focus();
  };
  const steer = (/** @type {TemplateEvent} */ event) => {
    const last = chosen.at(-1);
    if (event.key === "Backspace" && !text && last) drop(last);
  };
  const submit = (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    const now = together(chosen, [text]);
    dialog.close();
    tag(rows, { added: now.filter((one) => !before.includes(one)), removed: before.filter((one) => !now.includes(one)) });
  };
  return html`
    <form class="ask" onSubmit=${submit}>
      <label for="tag-field">${rows.length > 1 ? words.tagsOf(rows.length) : words.tags}</label>
      <div class="chips">
        ${chosen.map((one) => html`<span class="tag chip" key=${one}><bdi>${one}</bdi><button type="button" class="quiet" aria-label=${words.removeTag(one)} onClick=${() => drop(one)}>${icon("close", 12)}</button></span>`)}
        <input id="tag-field" ref=${field} list="known-tags" value=${text} maxlength="5000" autocomplete="off" dir="auto" placeholder=${words.addTag} autofocus onInput=${write} onKeyDown=${steer} />
        <datalist id="known-tags">${known.map((one) => html`<option value=${one}></option>`)}</datalist>
      </div>
      <p class="aside">${words.tagsHint}</p>
      <footer>
        <button type="button" onClick=${dialog.close}>${words.cancel}</button>
        <button class="strong">${words.save}</button>
      </footer>
    </form>
  `;
}

/**
 * Returns tags with others that are not among them yet.
 * @param {string[]} tags
 * @param {string[]} added
 */
const together = (tags, added) => [...new Set([...tags, ...added.map((one) => one.trim()).filter(Boolean)])];
