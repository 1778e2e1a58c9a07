// Formulas, set when they come near the window. Where setting fails their source stays, as it was written.

import { steadily } from "./steady.js";

const LEFT_MAX_MS = 8; // what may pass before the next frame is let through
const OPTIONS = {
  throwOnError: true,
  strict: false,
  maxSize: 20, // ems
  maxExpand: 300,
  trust: () => {
    throw new Error("A formula has no links, no pictures and no classes.");
  },
};
const CHARS_MAX = 2000; // what is set at once holds up the page
const DEFINES = /\\(?:[gex]?def|let|futurelet|(?:re)?newcommand|providecommand|global|long|expandafter|csname)(?![A-Za-z])/;
const DEPTH_MAX = 200; // elements in one another; some thousands end the browser's process
const ELEMENTS_MAX = 10_000;
const OTHERS = "a, img, image, use, script, style, iframe, object, embed, foreignObject, [href], [src], [id], [name]";
const ADDRESS = new URL("vendor/", import.meta.url);

let setter = null; // asked for once

const load = () =>
  (setter ??= Promise.all([import("./vendor/katex.js"), styled()]).then(
    () => globalThis.katex,
    (error) => {
      setter = null; // it may be there next time
      throw error;
    },
  ));

function styled() {
  return new Promise((done, fail) => {
    const link = document.createElement("link");
    Object.assign(link, { rel: "stylesheet", href: new URL("katex.css", ADDRESS).href, onload: done, onerror: fail });
    document.head.append(link);
  });
}

const sources = new WeakMap();
const queue = new Set();
let isBusy = false;

const watcher = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      watcher.unobserve(target);
      queue.add(target);
    }
    if (queue.size && !isBusy) work();
  },
  { rootMargin: "400px" },
);

/** Sets a formula, whose title is its source, when it is near the window. */
export function renderSoon(element) {
  sources.set(element, element.title);
  element.removeAttribute("title");
  watcher.observe(element);
}

async function work() {
  isBusy = true;
  try {
    const katex = await load();
    while (queue.size) {
      steadily(() => setSome(katex));
      await new Promise((done) => setTimeout(done));
    }
  } catch {
    queue.clear(); // without the library every formula is its source
  }
  isBusy = false;
}

function setSome(katex) {
  const end = performance.now() + LEFT_MAX_MS;
  for (const element of queue) {
    queue.delete(element);
    set(katex, element);
    if (performance.now() > end) return;
  }
}

function set(katex, element) {
  const box = document.createElement("span");
  try {
    const source = sources.get(element);
    if (source.length > CHARS_MAX) throw new Error("It is too long.");
    if (DEFINES.test(source)) throw new Error("It defines commands, which may repeat themselves without end.");
    katex.render(source, box, { ...OPTIONS, displayMode: element.classList.contains("display") });
    if (box.querySelector(OTHERS)) throw new Error("A formula is letters and lines alone.");
    if (isVast(box)) throw new Error("It is nested too deeply, or too long.");
  } catch (error) {
    element.classList.add("failed");
    element.title = `This formula cannot be set: ${error.message}`.slice(0, 300);
    return;
  }
  element.replaceChildren(...box.childNodes);
  element.classList.add("set");
}

function isVast(box) {
  const elements = [...box.querySelectorAll("*")];
  if (elements.length > ELEMENTS_MAX) return true;
  const depths = new Map([[box, 0]]);
  for (const element of elements) depths.set(element, depths.get(element.parentNode) + 1); // parents come first
  return Math.max(0, ...depths.values()) > DEPTH_MAX;
}
