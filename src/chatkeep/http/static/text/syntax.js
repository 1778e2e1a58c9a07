// Code gets its colours when it comes near the window. A worker finds them: the rules of some languages take a time
// that grows with the square of the text.

import DOMPurify from "../vendor/dompurify.js";
import { whenNear } from "./near-window.js";

const PATIENCE_MS = 2000; // code that takes longer stays as it is
const RULES = { ALLOWED_TAGS: ["span"], ALLOWED_ATTR: ["class"], RETURN_DOM_FRAGMENT: /** @type {const} */ (true) };
const ADDRESS = new URL("./syntax-worker.js", import.meta.url).href;
/** @typedef {{ createScriptURL: (address: string) => string }} Policy */
const plain = { createScriptURL: () => ADDRESS };
const { trustedTypes } = /** @type {{ trustedTypes?: { createPolicy(name: string, rules: Policy): Policy } }} */ (globalThis);
const policy = trustedTypes?.createPolicy("chatkeep", plain) ?? plain;

/** @type {WeakMap<Element, string>} */
const languages = new WeakMap();
/** @type {Worker | null} */
let worker = null;

const watch = whenNear("200px", async (queue) => {
  for (const code of queue) {
    queue.delete(code);
    if (!code.isConnected) continue;
    const value = await coloured(code.textContent ?? "", languages.get(code) ?? "");
    if (value !== null) code.replaceChildren(DOMPurify.sanitize(value, RULES));
  }
});

/**
 * Colours code when it is near the window.
 * @param {Element} code
 * @param {string} language
 */
export function colourSoon(code, language) {
  languages.set(code, language);
  watch(code);
}

/**
 * Returns code with its colours as HTML; null where they are not known, or not found in time.
 * @param {string} text
 * @param {string} language
 * @returns {Promise<string | null>}
 */
function coloured(text, language) {
  const colouring = (worker ??= new Worker(policy.createScriptURL(ADDRESS), { type: "module" }));
  return new Promise((done) => {
    const end = () => {
      colouring.terminate();
      worker = null;
      done(null);
    };
    const timer = setTimeout(end, PATIENCE_MS);
    colouring.onmessage = ({ data }) => {
      clearTimeout(timer);
      done(data);
    };
    colouring.onerror = () => {
      clearTimeout(timer);
      end();
    };
    colouring.postMessage({ text, language });
  });
}
