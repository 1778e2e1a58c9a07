// Stored text as safe elements. Nothing in a message is trusted: raw HTML is shown as text, what remains is
// checked element by element, links go out only when clicked, images come only from the message itself.

import DOMPurify from "./vendor/dompurify.js";
import { Marked } from "./vendor/marked.js";

const HIGHLIGHTED_CHARS_MAX = 20_000;
const TAGS =
  "p br hr strong em del code pre blockquote ul ol li a img table thead tbody tr th td h3 span sup sub".split(" ");
const RULES = {
  ALLOWED_TAGS: TAGS,
  ALLOWED_ATTR: ["href", "title", "align", "start", "src", "alt", "class"],
  ALLOWED_URI_REGEXP: /^(?:https?:|mailto:|data:image\/(?:png|jpeg|gif|webp|avif);base64,)/i,
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  RETURN_DOM_FRAGMENT: true,
};
const CODE_RULES = { ALLOWED_TAGS: ["span"], ALLOWED_ATTR: ["class"], RETURN_DOM_FRAGMENT: true };

const marked = new Marked({
  gfm: true,
  breaks: true,
  renderer: {
    html: ({ text }) => escaped(text),
    checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
    heading({ tokens, depth }) {
      return `<h3 class="depth-${depth}">${this.parser.parseInline(tokens)}</h3>\n`;
    },
    image({ href, text }) {
      return isPicture(href)
        ? `<img src="${escaped(href)}" alt="${escaped(text)}">`
        : `<a href="${escaped(href)}">${escaped(text || href)}</a>`;
    },
  },
});

DOMPurify.addHook("afterSanitizeAttributes", (element) => {
  if (element.nodeName === "A") {
    element.setAttribute("target", "_blank");
    element.setAttribute("rel", "noopener noreferrer");
    if (isPicture(element.getAttribute("href") ?? "")) element.removeAttribute("href");
  }
  if (element.nodeName === "IMG" && !isPicture(element.getAttribute("src") ?? "")) element.remove();
});

export const isPicture = (address) => /^data:image\/(?:png|jpeg|gif|webp|avif);base64,/i.test(address);

/** Returns markdown as a fragment of safe elements; code gets a button to copy it, and colours unless it still grows. */
export function rendered(text, { isGrowing = false } = {}) {
  let source;
  try {
    source = marked.parse(text);
  } catch {
    source = `<p>${escaped(text)}</p>`; // nested deeper than the parser goes
  }
  const fragment = DOMPurify.sanitize(source, RULES);
  fragment.querySelectorAll("pre").forEach((pre) => frameCode(pre, isGrowing));
  fragment.querySelectorAll("table").forEach(frameTable);
  for (const block of fragment.querySelectorAll("p, h3, ul, ol, td, th, blockquote")) {
    if (!block.parentElement?.closest("[dir]")) block.dir = "auto"; // the outermost tells where bullets and bars stand
  }
  return fragment;
}

function frameCode(pre, isGrowing) {
  const code = pre.querySelector("code");
  const language = /(?:^| )language-([\w+#.-]{1,20})/.exec(code?.className ?? "")?.[1] ?? "";
  const frame = element("figure", "code");
  const head = element("figcaption", "", language || "text");
  const button = element("button", "quiet copy", "Copy");
  button.type = "button";
  button.dataset.copies = "code";
  head.append(button);
  pre.tabIndex = 0;
  pre.dir = "ltr";
  pre.replaceWith(frame);
  frame.append(head, pre);
  if (code && !isGrowing && code.textContent.length <= HIGHLIGHTED_CHARS_MAX) {
    code.dataset.language = language;
    watcher.observe(code);
  }
}

function frameTable(table) {
  const frame = element("div", "table");
  frame.tabIndex = 0;
  frame.role = "region";
  frame.ariaLabel = "Table";
  table.replaceWith(frame);
  frame.append(table);
}

function element(name, className, text = "") {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.textContent = text;
  return made;
}

// Code is coloured when it comes near the window, so a long session opens as fast as a short one.
const watcher = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      watcher.unobserve(target);
      colour(target);
    }
  },
  { rootMargin: "200px" },
);

async function colour(code) {
  const { default: highlighter } = await import("./vendor/highlight.js");
  const language = code.dataset.language;
  if (!highlighter.getLanguage(language)) return;
  const { value } = highlighter.highlight(code.textContent, { language, ignoreIllegals: true });
  code.replaceChildren(DOMPurify.sanitize(value, CODE_RULES));
}

function escaped(text) {
  const entities = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
  return text.replace(/[&<>"']/g, (mark) => entities[mark]);
}
