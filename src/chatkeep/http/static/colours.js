// Code gets its colours when it comes near the window, so a long session opens as fast as a short one. A worker
// finds them: the rules of some languages take a time that grows with the square of the text.

import DOMPurify from "./vendor/dompurify.js";

const PATIENCE_MS = 2000; // code that takes longer stays as it is
const RULES = { ALLOWED_TAGS: ["span"], ALLOWED_ATTR: ["class"], RETURN_DOM_FRAGMENT: true };
const ADDRESS = new URL("./colouring.js", import.meta.url).href;
const policy = globalThis.trustedTypes?.createPolicy("chatkeep", { createScriptURL: () => ADDRESS }) ?? { createScriptURL: () => ADDRESS };

const languages = new WeakMap();
const queue = new Set();
let worker = null;
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
  { rootMargin: "200px" },
);

export function colourSoon(code, language) {
  languages.set(code, language);
  watcher.observe(code);
}

async function work() {
  isBusy = true;
  for (const code of queue) {
    queue.delete(code);
    if (!code.isConnected) continue;
    const value = await coloured(code.textContent, languages.get(code));
    if (value !== null) code.replaceChildren(DOMPurify.sanitize(value, RULES));
  }
  isBusy = false;
}

/** Code with its colours as HTML; null where they are not known, or not found in time. */
function coloured(text, language) {
  worker ??= new Worker(policy.createScriptURL(""), { type: "module" });
  return new Promise((done) => {
    const end = () => {
      worker.terminate();
      worker = null;
      done(null);
    };
    const timer = setTimeout(end, PATIENCE_MS);
    worker.onmessage = ({ data }) => {
      clearTimeout(timer);
      done(data);
    };
    worker.onerror = () => {
      clearTimeout(timer);
      end();
    };
    worker.postMessage({ text, language });
  });
}
