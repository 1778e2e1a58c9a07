// Text drawn safely and in parts: the first at once, the rest between frames, what is too large as plain text.

import DOMPurify from "../vendor/dompurify.js";
import { anchored } from "./anchoring.js";
import { setSoon } from "./formulas.js";
import { groupsOf, isPicture } from "./markdown.js";
import { colourSoon } from "./syntax.js";
import { words } from "./words.js";

const MARKDOWN_CHARS_MAX = 100_000; // above this a text is plain
const PIECE_CHARS = 20_000; // plain text is laid out by pieces, those in sight only
const PIECES_AT_ONCE = 20;
const COLOURED_CHARS_MAX = 20_000;
const RULES = {
  ALLOWED_TAGS: "p br hr strong em s code pre blockquote ul ol li a img table thead tbody tr th td h3 span sup".split(" "),
  ALLOWED_ATTR: ["href", "title", "align", "start", "value", "src", "alt", "class"],
  ALLOWED_URI_REGEXP: /^(?:https?:|mailto:|data:image\/(?:png|jpeg|gif|webp|avif);base64,)/i,
  ADD_URI_SAFE_ATTR: ["align", "start"], // no addresses: the rule above is not for them
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  RETURN_DOM_FRAGMENT: /** @type {const} */ (true),
};

DOMPurify.addHook("afterSanitizeAttributes", (element) => {
  if (element.nodeName === "A") {
    element.setAttribute("target", "_blank");
    element.setAttribute("rel", "noopener noreferrer");
    if (isPicture(element.getAttribute("href") ?? "")) element.removeAttribute("href");
  }
  if (element.nodeName === "IMG" && !isPicture(element.getAttribute("src") ?? "")) element.remove();
});

/** @typedef {{ key: string, cost: number, element: () => HTMLElement }} Wanted a part to draw; parts of cost 1 are drawn at once */
/** @typedef {{ key: string, element: HTMLElement }} Drawn */
/** @typedef {{ parts: Drawn[], timer: ReturnType<typeof setTimeout> | undefined }} Drawing what is in a box, and the work that is not done */

/** @type {WeakMap<Element, Drawing>} */
const drawings = new WeakMap();

/**
 * Draws Markdown in a box; parts that are there already stay. `isGrowing` says that more will come. Returns a function
 * that ends the work.
 * @param {Element} box
 * @param {string} text
 * @param {{ isGrowing?: boolean }} [options]
 */
export function draw(box, text, { isGrowing = false } = {}) {
  return drawAll(box, text.length > MARKDOWN_CHARS_MAX ? piecesOf(text, true) : [...wantedOf(text, isGrowing)]);
}

/**
 * Draws text as it stands, however long.
 * @param {Element} box
 * @param {string} text
 */
export const drawPlain = (box, text) => drawAll(box, piecesOf(text));

/**
 * Returns all of a text as it is drawn, at once, and without what waits until it is in sight.
 * @param {string} text
 */
export function fragmentOf(text) {
  const fragment = document.createDocumentFragment();
  const wanted = text.length > MARKDOWN_CHARS_MAX ? piecesOf(text, true) : [...wantedOf(text, true)];
  fragment.append(...wanted.map(({ element }) => element()));
  return fragment;
}

/**
 * @param {Element} box
 * @param {Wanted[]} wanted
 */
function drawAll(box, wanted) {
  const before = drawings.get(box);
  clearTimeout(before?.timer);
  /** @type {Drawing} */
  const drawing = { parts: before?.parts ?? [], timer: undefined };
  drawings.set(box, drawing);
  for (const { element } of drawing.parts.splice(wanted.length)) element.remove();
  work(box, drawing, wanted, 0);
  return () => clearTimeout(drawing.timer);
}

/**
 * @param {Element} box
 * @param {Drawing} drawing
 * @param {Wanted[]} wanted
 * @param {number} from
 */
function work(box, drawing, wanted, from) {
  let at = from;
  const change = () => {
    let left = 1;
    for (let part = wanted[at]; part && left > 0; part = wanted[at]) {
      const known = drawing.parts[at];
      if (known?.key === part.key) {
        at += 1;
        continue;
      }
      const element = part.element();
      if (known) known.element.replaceWith(element);
      else box.append(element);
      drawing.parts[at] = { key: part.key, element };
      left -= part.cost;
      at += 1;
    }
  };
  if (from > 0) anchored(change);
  else change(); // whoever draws at once looks after the rest
  if (at < wanted.length) drawing.timer = setTimeout(work, 0, box, drawing, wanted, at);
}

/**
 * @param {string} text
 * @param {boolean} isGrowing
 * @returns {Generator<Wanted>}
 */
function* wantedOf(text, isGrowing) {
  for (const { source, isPlain, html } of groupsOf(text)) {
    if (isPlain) yield* piecesOf(source, true);
    else yield { key: `${isGrowing} ${source}`, cost: 1, element: () => partOf(safe(html(), isGrowing)) };
  }
}

/**
 * Returns plain text by pieces, cut where a line ends if one does; `isLong` says why it is plain.
 * @param {string} text
 * @param {boolean} [isLong]
 */
function piecesOf(text, isLong = false) {
  /** @type {Wanted[]} */
  const pieces = [];
  const name = text.length > PIECE_CHARS ? "piece late" : "piece";
  for (let at = 0; at < text.length; ) {
    const end = pieceEnd(text, at);
    const piece = text.slice(at, end);
    pieces.push({ key: `plain ${piece}`, cost: 1 / PIECES_AT_ONCE, element: () => made("div", name, piece) });
    at = end;
  }
  if (isLong) pieces.unshift({ key: words.tooLong, cost: 0, element: () => made("p", "aside told", words.tooLong) });
  return pieces;
}

/**
 * @param {string} text
 * @param {number} at
 */
function pieceEnd(text, at) {
  if (at + PIECE_CHARS >= text.length) return text.length;
  const piece = text.slice(at, at + PIECE_CHARS);
  const line = piece.lastIndexOf("\n");
  if (line > 0) return at + line + 1;
  const blank = piece.lastIndexOf(" ");
  if (blank > PIECE_CHARS / 2) return at + blank + 1;
  return at + piece.replace(/[\uD800-\uDBFF]$/, "").length;
}

/** @param {DocumentFragment} fragment */
function partOf(fragment) {
  const element = made("div", "part");
  element.append(fragment);
  return element;
}

/**
 * Returns HTML as safe elements; code gets a button to copy it, and colours unless it still grows.
 * @param {string} html
 * @param {boolean} isGrowing
 */
function safe(html, isGrowing) {
  const fragment = DOMPurify.sanitize(html, RULES);
  for (const pre of fragment.querySelectorAll("pre")) frameCode(pre, isGrowing);
  for (const table of fragment.querySelectorAll("table")) frameTable(table);
  for (const block of all(fragment, "p, h3, ul, ol, blockquote, .table")) {
    if (!block.parentElement?.closest("[dir]")) block.dir = "auto"; // the outermost says where bullets and bars stand
  }
  for (const one of all(fragment, "code, .formula")) one.dir = "ltr"; // whatever is written around it
  for (const one of all(fragment, ".formula")) setSoon(one);
  return fragment;
}

/** @type {(fragment: DocumentFragment, selector: string) => NodeListOf<HTMLElement>} */
const all = (fragment, selector) => fragment.querySelectorAll(selector);

/**
 * @param {HTMLPreElement} pre
 * @param {boolean} isGrowing
 */
function frameCode(pre, isGrowing) {
  const code = pre.querySelector("code");
  const info = pre.title;
  const language = /^[\w+#.-]{1,20}/.exec(info)?.[0].toLowerCase() ?? "";
  const frame = made("figure", "code");
  const head = made("figcaption", "", info === "mermaid" ? words.mermaid : info || words.codeAsText);
  const button = made("button", "quiet copy", words.copy);
  button.setAttribute("type", "button");
  button.dataset.copies = "code";
  head.append(button);
  pre.removeAttribute("title");
  pre.tabIndex = 0;
  pre.dir = "ltr";
  pre.replaceWith(frame);
  frame.append(head, pre);
  if (!isGrowing && language && code && (code.textContent ?? "").length <= COLOURED_CHARS_MAX) colourSoon(code, language);
}

/** @param {HTMLTableElement} table */
function frameTable(table) {
  const frame = made("div", "table");
  frame.tabIndex = 0;
  frame.role = "region";
  frame.ariaLabel = words.table;
  table.replaceWith(frame);
  frame.append(table);
}

/**
 * @param {string} name
 * @param {string} className
 * @param {string} [text]
 */
function made(name, className, text = "") {
  const element = document.createElement(name);
  if (className) element.className = className;
  element.textContent = text;
  return element;
}
