// JSON as it is stored. Its values are not read: JavaScript would round numbers and lose names that stand twice.

const INDENTED_CHARS_MAX = 200_000; // above this the text is shown on the lines it has
const DEPTH_INDENTED = 24; // what is nested deeper stands on one line: indents would grow with the square of the depth
const SCALAR = /-?(?:(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|Infinity)|true|false|null|NaN/y;
const SPACE = /[ \t\r\n]*/y;

/** @typedef {import("./messages.js").Message} Message */
/** @typedef {(text: string, at: number) => number} Cut returns where something ends that begins at an index */

/**
 * Returns JSON with each value on a line of its own; any other text as it is. No name and no value is changed.
 * @param {string} text
 */
export function indented(text) {
  if (text.length > INDENTED_CHARS_MAX || !/^\s*[[{]/.test(text)) return text;
  return new Indenter(text).whole() ?? text;
}

class Indenter {
  /** @type {string[]} */
  #pieces = [];
  /** @type {string[]} */
  #open = []; // the brackets that are not closed yet
  /** @type {"value" | "name" | "after"} */
  #wants = "value"; // or a name, or what may follow either
  #at = 0;
  #text = "";

  /** @param {string} text */
  constructor(text) {
    this.#text = text;
  }

  /** Returns the text with its lines, or null where it is no JSON. */
  whole() {
    for (this.#skip(); this.#at < this.#text.length; this.#skip()) if (!this.#step()) return null;
    return this.#wants === "after" && !this.#open.length ? this.#pieces.join("") : null;
  }

  #step() {
    const mark = this.#text.charAt(this.#at);
    const isEmpty = "[{".includes(this.#pieces.at(-1) ?? "-");
    const closing = this.#open.at(-1) === "{" ? "}" : "]";
    if (mark === closing && this.#open.length && (this.#wants === "after" || isEmpty)) return this.#close(mark, isEmpty);
    if (this.#wants === "after") return this.#goOn(mark);
    if (isEmpty) this.#pieces.push(this.#line());
    if ("[{".includes(mark) && this.#wants === "value") return this.#begin(mark);
    return this.#wants === "name" ? mark === '"' && this.#name() : this.#scalar();
  }

  /**
   * @param {string} mark
   * @param {boolean} isEmpty
   */
  #close(mark, isEmpty) {
    this.#open.pop();
    if (!isEmpty || this.#wants === "after") this.#pieces.push(this.#line());
    this.#wants = "after";
    return this.#take(mark);
  }

  /** @param {string} mark */
  #goOn(mark) {
    if (mark !== "," || !this.#open.length) return false;
    this.#wants = this.#open.at(-1) === "{" ? "name" : "value";
    this.#take(mark);
    this.#pieces.push(this.#line());
    return true;
  }

  /** @param {string} mark */
  #begin(mark) {
    this.#open.push(mark);
    this.#wants = mark === "{" ? "name" : "value";
    return this.#take(mark);
  }

  #name() {
    if (!this.#scalar()) return false;
    this.#skip();
    this.#wants = "value";
    return this.#text[this.#at] === ":" && this.#take(":", ": ");
  }

  #scalar() {
    const end = scalarEnd(this.#text, this.#at);
    this.#wants = "after";
    return end >= 0 && this.#take(this.#text.slice(this.#at, end));
  }

  /**
   * @param {string} piece
   * @param {string} [shown]
   */
  #take(piece, shown = piece) {
    this.#at += piece.length;
    this.#pieces.push(shown);
    return true;
  }

  #skip() {
    this.#at = blanksEnd(this.#text, this.#at);
  }

  #line() {
    return this.#open.length <= DEPTH_INDENTED ? `\n${"  ".repeat(this.#open.length)}` : "";
  }
}

/**
 * Returns the texts of the values in an array; none where the text is no array.
 * @param {string} [text]
 */
export function itemsOf(text) {
  /** @type {string[]} */
  const items = [];
  if (text?.[0] !== "[") return items;
  for (let at = blanksEnd(text, 1); at < text.length && text[at] !== "]"; ) {
    const end = valueEnd(text, at);
    if (end <= at) break; // it is no JSON
    items.push(text.slice(at, end));
    at = next(text, end);
  }
  return items;
}

/**
 * Returns the texts of the values in an object by their names; of a name that stands twice the last, as JSON.parse does.
 * @param {string} [text]
 */
export function membersOf(text) {
  /** @type {Map<string, string>} */
  const members = new Map();
  if (text?.[0] !== "{") return members;
  for (let at = blanksEnd(text, 1); at < text.length && text[at] !== "}"; ) {
    const nameEnd = stringEnd(text, at);
    const begin = blanksEnd(text, blanksEnd(text, nameEnd) + 1);
    const end = valueEnd(text, begin);
    if (nameEnd < 0 || end <= begin) break; // it is no JSON
    members.set(JSON.parse(text.slice(at, nameEnd)), text.slice(begin, end));
    at = next(text, end);
  }
  return members;
}

/** @type {WeakMap<Message, () => string | undefined>} */
const sources = new WeakMap();

/**
 * Reads the answer that lists messages, and remembers the text of each.
 * @param {string} text
 * @returns {{ messages: Message[], has_more: boolean }}
 */
export function messagePageOf(text) {
  const page = JSON.parse(text);
  /** @type {string[] | null} */
  let items = null; // found when one is asked for: most messages are never shown as JSON
  const find = (/** @type {number} */ nth) => (items ??= itemsOf(membersOf(text).get("messages")))[nth];
  page.messages.forEach((/** @type {Message} */ message, /** @type {number} */ nth) => sources.set(message, () => find(nth)));
  return page;
}

/**
 * Returns the text of a message as the server sent it.
 * @param {Message} message
 */
export const sourceOf = (message) => sources.get(message)?.() ?? JSON.stringify(message);

/**
 * Returns the text of a message's content.
 * @param {Message} message
 */
export const contentSourceOf = (message) => membersOf(sourceOf(message)).get("content") ?? "";

/** @type {WeakMap<Message, string[]>} */
const partSources = new WeakMap();

/**
 * Returns the text of a part of a message's content.
 * @param {Message} message
 * @param {number} place
 */
export function partSourceOf(message, place) {
  const known = partSources.get(message) ?? itemsOf(contentSourceOf(message));
  partSources.set(message, known);
  return known[place] ?? "";
}

/** @type {Cut} */
function blanksEnd(text, at) {
  SPACE.lastIndex = at;
  SPACE.test(text);
  return SPACE.lastIndex;
}

/** @type {Cut} */
function next(text, end) {
  const at = blanksEnd(text, end);
  return text[at] === "," ? blanksEnd(text, at + 1) : at;
}

/**
 * Returns where a string, number or word ends that begins here; -1 where none does.
 * @type {Cut}
 */
function scalarEnd(text, at) {
  if (text[at] === '"') return stringEnd(text, at);
  SCALAR.lastIndex = at;
  return SCALAR.test(text) ? SCALAR.lastIndex : -1;
}

/** @type {Cut} */
function stringEnd(text, at) {
  for (let end = text.indexOf('"', at + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    let slashes = 0;
    while (text[end - 1 - slashes] === "\\") slashes += 1;
    if (slashes % 2 === 0) return end + 1;
  }
  return -1;
}

/**
 * Returns where a value ends in text that is known to be JSON.
 * @type {Cut}
 */
function valueEnd(text, at) {
  let depth = 0;
  for (let end = at; end < text.length; ) {
    if (text[end] === '"') end = stringEnd(text, end);
    else if ("[{".includes(text.charAt(end))) [depth, end] = [depth + 1, end + 1];
    else if ("]}".includes(text.charAt(end))) [depth, end] = [depth - 1, end + 1];
    else if (depth > 0) end += 1;
    else return scalarEnd(text, end);
    if (depth === 0) return end;
  }
  return text.length;
}
