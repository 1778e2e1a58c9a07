// Formulas, set when they come near the window. Where setting fails their source stays, as it was written.

import { anchored } from "./anchoring.js";
import { whenNear } from "./near-window.js";
import { words } from "./words.js";

const BURST_MS = 8; // then the next frame is let through
const CHARS_MAX = 2000; // a formula is set at once, and holds up the page meanwhile
const DEPTH_MAX = 200; // elements in one another; some thousands end the browser's process
const ELEMENTS_MAX = 10_000;
const OPTIONS = {
  throwOnError: true,
  strict: false,
  maxSize: 20, // ems
  maxExpand: 300,
  trust: () => {
    throw new Error(words.formulaLinks);
  },
};
const DEFINES = /\\(?:[gex]?def|let|futurelet|(?:re)?newcommand|providecommand|global|long|expandafter|csname)(?![A-Za-z])/;
const OTHERS = "a, img, image, use, script, style, iframe, object, embed, foreignObject, [href], [src], [id], [name]";
const STYLES = new URL("../vendor/katex.css", import.meta.url).href;

/** @typedef {typeof import("../vendor/katex.js").default} Katex */

/** @type {Promise<Katex> | null} */
let loading = null; // once

function load() {
  loading ??= Promise.all([import("../vendor/katex.js"), loadStyles()]).then(
    () => /** @type {{ katex: Katex }} */ (/** @type {unknown} */ (globalThis)).katex,
    (error) => {
      loading = null; // it may be there next time
      throw error;
    },
  );
  return loading;
}

function loadStyles() {
  return new Promise((done, fail) => {
    const link = document.createElement("link");
    Object.assign(link, { rel: "stylesheet", href: STYLES, onload: done, onerror: fail });
    document.head.append(link);
  });
}

/** @type {WeakMap<Element, string>} */
const sources = new WeakMap();

const watch = whenNear("400px", async (queue) => {
  try {
    const katex = await load();
    while (queue.size) {
      anchored(() => setSome(katex, queue));
      await new Promise((done) => setTimeout(done));
    }
  } catch {
    queue.clear(); // without the library every formula is its source
  }
});

/**
 * Sets a formula, whose title is its source, when it is near the window.
 * @param {HTMLElement} element
 */
export function setSoon(element) {
  sources.set(element, element.title);
  element.removeAttribute("title");
  watch(element);
}

/**
 * @param {Katex} katex
 * @param {Set<Element>} queue
 */
function setSome(katex, queue) {
  const end = performance.now() + BURST_MS;
  for (const element of queue) {
    queue.delete(element);
    set(katex, /** @type {HTMLElement} */ (element));
    if (performance.now() > end) return;
  }
}

/**
 * @param {Katex} katex
 * @param {HTMLElement} element
 */
function set(katex, element) {
  const box = document.createElement("span");
  try {
    const source = sources.get(element) ?? "";
    if (source.length > CHARS_MAX) throw new Error(words.formulaLong);
    if (DEFINES.test(source)) throw new Error(words.formulaDefines);
    katex.render(source, box, { ...OPTIONS, displayMode: element.classList.contains("display") });
    if (box.querySelector(OTHERS)) throw new Error(words.formulaLinks);
    if (isVast(box)) throw new Error(words.formulaDeep);
  } catch (error) {
    const { message } = /** @type {Error} */ (error);
    element.classList.add("failed");
    element.title = words.formulaFailed(message).slice(0, 300);
    return;
  }
  element.replaceChildren(...box.childNodes);
  element.classList.add("set");
}

/** @param {Element} box */
function isVast(box) {
  const elements = [...box.querySelectorAll("*")];
  if (elements.length > ELEMENTS_MAX) return true;
  const depths = new Map([[box, 0]]);
  for (const element of elements) { // parents come first
    const depth = (element.parentElement && depths.get(element.parentElement)) ?? 0;
    depths.set(element, depth + 1);
  }
  return Math.max(0, ...depths.values()) > DEPTH_MAX;
}
