// Text drawn safely and in parts: the first at once, the rest between frames, what is too large as plain text.

import DOMPurify from "./vendor/dompurify.js";
import { colourSoon } from "./colours.js";
import { renderSoon } from "./formulas.js";
import { groupsOf, isPicture } from "./markdown.js";
import { steadily } from "./steady.js";

const MARKDOWN_CHARS_MAX = 100_000; // above this a text is plain
const PIECE_CHARS = 20_000; // plain text is laid out by pieces, those in sight only
const PIECES_AT_ONCE = 20;
const COLOURED_CHARS_MAX = 20_000;
const NAMES = { mermaid: "Mermaid diagram" };
const RULES = {
  ALLOWED_TAGS: "p br hr strong em s code pre blockquote ul ol li a img table thead tbody tr th td h3 span sup".split(" "),
  ALLOWED_ATTR: ["href", "title", "align", "start", "value", "src", "alt", "class"],
  ALLOWED_URI_REGEXP: /^(?:https?:|mailto:|data:image\/(?:png|jpeg|gif|webp|avif);base64,)/i,
  ADD_URI_SAFE_ATTR: ["align", "start"], // no addresses: the rule above is not for them
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  RETURN_DOM_FRAGMENT: true,
};

DOMPurify.addHook("afterSanitizeAttributes", (element) => {
  if (element.nodeName === "A") {
    element.setAttribute("target", "_blank");
    element.setAttribute("rel", "noopener noreferrer");
    if (isPicture(element.getAttribute("href") ?? "")) element.removeAttribute("href");
  }
  if (element.nodeName === "IMG" && !isPicture(element.getAttribute("src") ?? "")) element.remove();
});

const drawings = new WeakMap(); // what is drawn in a box: its parts, and the work that is not done

/** Draws Markdown in a box; parts that are there already stay. `isGrowing` tells that more will come. */
export function draw(box, text, { isGrowing = false } = {}) {
  return drawAll(box, text.length > MARKDOWN_CHARS_MAX ? piecesOf(text, true) : [...wantedOf(text, isGrowing)]);
}

/** Draws text as it stands, however long. */
export const drawPlain = (box, text) => drawAll(box, piecesOf(text));

function drawAll(box, wanted) {
  const before = drawings.get(box);
  clearTimeout(before?.timer);
  const drawing = { parts: before?.parts ?? [], timer: null };
  drawings.set(box, drawing);
  while (drawing.parts.length > wanted.length) drawing.parts.pop().element.remove();
  work(box, drawing, wanted, 0);
  return () => clearTimeout(drawing.timer);
}

function work(box, drawing, wanted, from) {
  let at = from;
  const change = () => {
    for (let left = 1; left > 0 && at < wanted.length; at += 1) {
      const part = wanted[at];
      const known = drawing.parts[at];
      if (known?.key === part.key) continue;
      const element = part.element();
      if (known) known.element.replaceWith(element);
      else box.append(element);
      drawing.parts[at] = { key: part.key, element };
      left -= part.cost;
    }
  };
  if (from > 0) steadily(change);
  else change(); // whoever draws at once looks after the rest
  if (at < wanted.length) drawing.timer = setTimeout(work, 0, box, drawing, wanted, at);
}

function* wantedOf(text, isGrowing) {
  for (const { source, isPlain, html } of groupsOf(text)) {
    if (isPlain) yield* piecesOf(source, true);
    else yield { key: `${isGrowing} ${source}`, cost: 1, element: () => part(safe(html(), isGrowing)) };
  }
}

/** Plain text by pieces, cut where a line ends if one does. */
function piecesOf(text, isTold = false) {
  const pieces = [];
  const name = text.length > PIECE_CHARS ? "piece late" : "piece";
  for (let at = 0; at < text.length; ) {
    const end = pieceEnd(text, at);
    const piece = text.slice(at, end);
    pieces.push({ key: `plain ${piece}`, cost: 1 / PIECES_AT_ONCE, element: () => made("div", name, piece) });
    at = end;
  }
  const told = "Shown as plain text, because it is too long to be laid out.";
  if (isTold) pieces.unshift({ key: told, cost: 0, element: () => made("p", "aside told", told) });
  return pieces;
}

function pieceEnd(text, at) {
  if (at + PIECE_CHARS >= text.length) return text.length;
  const piece = text.slice(at, at + PIECE_CHARS);
  const line = piece.lastIndexOf("\n");
  if (line > 0) return at + line + 1;
  const blank = piece.lastIndexOf(" ");
  if (blank > PIECE_CHARS / 2) return at + blank + 1;
  return at + piece.replace(/[\uD800-\uDBFF]$/, "").length;
}

function part(fragment) {
  const element = made("div", "part");
  element.append(fragment);
  return element;
}

/** HTML as safe elements; code gets a button to copy it, and colours unless it still grows. */
function safe(html, isGrowing) {
  const fragment = DOMPurify.sanitize(html, RULES);
  fragment.querySelectorAll("pre").forEach((pre) => frameCode(pre, isGrowing));
  fragment.querySelectorAll("table").forEach(frameTable);
  for (const block of fragment.querySelectorAll("p, h3, ul, ol, blockquote, .table")) {
    if (!block.parentElement?.closest("[dir]")) block.dir = "auto"; // the outermost tells where bullets and bars stand
  }
  for (const one of fragment.querySelectorAll("code, .formula")) one.dir = "ltr"; // whatever is written around it
  for (const one of fragment.querySelectorAll(".formula")) renderSoon(one, { isGrowing });
  return fragment;
}

function frameCode(pre, isGrowing) {
  const code = pre.querySelector("code");
  const info = pre.title;
  const language = /^[\w+#.-]{1,20}/.exec(info)?.[0].toLowerCase() ?? "";
  const frame = made("figure", "code");
  const head = made("figcaption", "", NAMES[info] ?? (info || "text"));
  const button = made("button", "quiet copy", "Copy");
  button.type = "button";
  button.dataset.copies = "code";
  head.append(button);
  pre.removeAttribute("title");
  pre.tabIndex = 0;
  pre.dir = "ltr";
  pre.replaceWith(frame);
  frame.append(head, pre);
  if (!isGrowing && language && code.textContent.length <= COLOURED_CHARS_MAX) colourSoon(code, language);
}

function frameTable(table) {
  const frame = made("div", "table");
  frame.tabIndex = 0;
  frame.role = "region";
  frame.ariaLabel = "Table";
  table.replaceWith(frame);
  frame.append(table);
}

function made(name, className, text = "") {
  const element = document.createElement(name);
  if (className) element.className = className;
  element.textContent = text;
  return element;
}
