// Code gets its colours when it comes near the window, so a long session opens as fast as a short one.

import DOMPurify from "./vendor/dompurify.js";

const RULES = { ALLOWED_TAGS: ["span"], ALLOWED_ATTR: ["class"], RETURN_DOM_FRAGMENT: true };
const waiting = new WeakMap(); // the language of each

const watcher = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      watcher.unobserve(target);
      colour(target, waiting.get(target));
    }
  },
  { rootMargin: "200px" },
);

export function colourSoon(code, language) {
  waiting.set(code, language);
  watcher.observe(code);
}

async function colour(code, language) {
  const { default: highlighter } = await import("./vendor/highlight.js");
  if (!highlighter.getLanguage(language)) return;
  const { value } = highlighter.highlight(code.textContent, { language, ignoreIllegals: true });
  code.replaceChildren(DOMPurify.sanitize(value, RULES));
}
