// A worker that colours code: what takes it too long ends it, and never holds up the page.

import highlighter from "../vendor/highlight.js";

addEventListener("message", ({ data: { text, language } }) => {
  const isKnown = highlighter.getLanguage(language) !== undefined;
  postMessage(isKnown ? highlighter.highlight(text, { language, ignoreIllegals: true }).value : null);
});
