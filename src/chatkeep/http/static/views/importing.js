// Import of files that are dropped on the page, or chosen; and the report on them.

import { dialog } from "../state/dialog.js";
import { takeFiles } from "../state/importing.js";
import { words } from "../text/words.js";
import { html, useEffect, useRef, useState } from "../vendor/preact.js";
import { icon } from "./icons.js";

/** @typedef {import("../state/importing.js").Taken} Taken */
/** @typedef {import("../vendor/preact.js").TemplateEvent} TemplateEvent */

const FLAWS_SHOWN = 20;

/** The button that asks for files; dropping them anywhere on the page does the same. */
export function ImportButton({ hasWords = true }) {
  /** @type {import("../vendor/preact.js").Ref<HTMLInputElement>} */
  const field = useRef();
  const take = () => {
    openReport([...(field.current.files ?? [])]);
    field.current.value = "";
  };
  return html`
    <button aria-label=${words.import} title=${words.importHint} onClick=${() => field.current.click()}>${icon("import")}${hasWords && html`<span class="words">${words.import}</span>`}</button>
    <input type="file" multiple hidden accept=".json,.jsonl" ref=${field} onChange=${take} />
  `;
}

/** What shows that files can be dropped, while some are over the page. */
export function DropTarget() {
  const [isOver, setOver] = useState(false);
  useEffect(() => {
    let depth = 0; // of the elements in one another that the files are over
    const hasFiles = (/** @type {DragEvent} */ event) => event.dataTransfer?.types.includes("Files") ?? false;
    const move = (/** @type {number} */ by) => (/** @type {DragEvent} */ event) => {
      if (!hasFiles(event)) return;
      depth = Math.max(0, depth + by);
      setOver(depth > 0);
    };
    const over = (/** @type {DragEvent} */ event) => void (hasFiles(event) && event.preventDefault());
    const drop = (/** @type {DragEvent} */ event) => {
      if (!hasFiles(event)) return;
      event.preventDefault(); // else the browser opens the file
      depth = 0;
      setOver(false);
      openReport([...(event.dataTransfer?.files ?? [])]);
    };
    /** @type {[name: "dragenter" | "dragleave" | "dragover" | "drop", act: (event: DragEvent) => void][]} */
    const acts = [["dragenter", move(1)], ["dragleave", move(-1)], ["dragover", over], ["drop", drop]];
    for (const [name, act] of acts) addEventListener(name, act);
    return () => {
      for (const [name, act] of acts) removeEventListener(name, act);
    };
  }, []);
  return isOver ? html`<div class="drop-target"><p>${icon("import", 28)}${words.dropHere}</p></div>` : null;
}

let opened = 0; // reports, each of which imports its own files

/** @param {File[]} files */
function openReport(files) {
  if (files.length) dialog.open({ kind: "small", label: words.import, body: html`<${Report} key=${(opened += 1)} files=${files} />` });
}

/** @param {{ files: File[] }} props */
function Report({ files }) {
  const [taken, setTaken] = useState(/** @type {Taken[]} */ ([]));
  useEffect(() => void takeFiles(files, (one) => setTaken((before) => [...before, one])), []);
  const isDone = taken.length === files.length;
  return html`
    <div class="sheet import" aria-busy=${!isDone}>
      <header><h2>${words.import}</h2><button class="quiet" aria-label=${words.close} onClick=${dialog.close}>${icon("close")}</button></header>
      <p class="aside" role="status">${isDone ? words.importDone(files.length) : words.importing(taken.length + 1, files.length)}</p>
      <ul>${taken.map((one) => html`<${FileReport} ...${one} />`)}</ul>
    </div>
  `;
}

/** @param {Taken} props */
function FileReport({ name, report, problem, flaws }) {
  const counts = report && words.importCounts(report.sessions_created, report.sessions_extended, report.messages_added, report.messages_skipped);
  return html`
    <li class=${problem ? "failed" : ""}>
      <strong><bdi>${name}</bdi></strong>
      ${problem && html`<p class="problem" role="alert">${problem}</p>`}
      ${problem && flaws.length > 0 && html`<p class="aside">${words.importOthers}</p>`}
      ${counts && html`<p>${counts}</p>`}
      ${flaws.length > 0 &&
      html`<details open=${!counts}>
        <summary>${words.flaws(flaws.length)}</summary>
        <ul class="flaws">${flaws.slice(0, FLAWS_SHOWN).map(({ place, reason }) => html`<li><code>${place}</code> ${reason}</li>`)}</ul>
        ${flaws.length > FLAWS_SHOWN && html`<p class="aside">${words.andMore(flaws.length - FLAWS_SHOWN)}</p>`}
      </details>`}
    </li>
  `;
}
