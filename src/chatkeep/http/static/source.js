// JSON as it is stored. Its values are not read: JavaScript would round numbers and lose names that stand twice.

const INDENTED_CHARS_MAX = 200_000; // above this the text is shown on the lines it has
const DEPTH_INDENTED = 24; // what is nested deeper stands on one line: indents would grow with the square of the depth
const SCALAR = /-?(?:(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|Infinity)|true|false|null|NaN/y;
const SPACE = /[ \t\r\n]*/y;

/** Returns JSON with each value on a line of its own; any other text as it is. No name and no value is changed. */
export function indented(text) {
  if (text.length > INDENTED_CHARS_MAX || !/^\s*[[{]/.test(text)) return text;
  const pieces = [];
  const open = []; // the brackets that are not closed yet
  let wants = "value"; // or a "name", or what may follow either: "after"
  let at = blanksEnd(text, 0);
  const line = (depth) => (depth <= DEPTH_INDENTED ? `\n${"  ".repeat(depth)}` : "");
  while (at < text.length) {
    const mark = text[at];
    const closes = open.at(-1) === "{" ? "}" : "]";
    if (mark === closes && open.length && (wants === "after" || "[{".includes(pieces.at(-1)))) {
      const isEmpty = wants !== "after";
      open.pop();
      pieces.push(isEmpty ? mark : line(open.length) + mark);
      wants = "after";
      at += 1;
    } else if (wants === "after") {
      if (mark !== "," || !open.length) return text;
      pieces.push("," + line(open.length));
      wants = open.at(-1) === "{" ? "name" : "value";
      at += 1;
    } else {
      if ("[{".includes(pieces.at(-1) ?? "-")) pieces.push(line(open.length));
      const end = "[{".includes(mark) && wants === "value" ? at + 1 : scalarEnd(text, at);
      if (end < 0 || (wants === "name" && mark !== '"')) return text;
      pieces.push(text.slice(at, end));
      at = end;
      if (wants === "name") {
        at = blanksEnd(text, at);
        if (text[at] !== ":") return text;
        pieces.push(": ");
        wants = "value";
        at += 1;
      } else if ("[{".includes(mark)) {
        open.push(mark);
        wants = mark === "{" ? "name" : "value";
      } else wants = "after";
    }
    at = blanksEnd(text, at);
  }
  return wants === "after" && !open.length ? pieces.join("") : text;
}

/** The texts of the values in an array, or nothing where there is none. */
export function itemsOf(text) {
  const items = [];
  if (text?.[0] !== "[") return items;
  for (let at = blanksEnd(text, 1); at < text.length && text[at] !== "]"; ) {
    const end = valueEnd(text, at);
    items.push(text.slice(at, end));
    at = next(text, end);
  }
  return items;
}

/** The texts of the values in an object by their names; of a name that stands twice the last, as JSON.parse does. */
export function membersOf(text) {
  const members = new Map();
  if (text?.[0] !== "{") return members;
  for (let at = blanksEnd(text, 1); at < text.length && text[at] !== "}"; ) {
    const nameEnd = stringEnd(text, at);
    const begin = blanksEnd(text, blanksEnd(text, nameEnd) + 1);
    const end = valueEnd(text, begin);
    members.set(JSON.parse(text.slice(at, nameEnd)), text.slice(begin, end));
    at = next(text, end);
  }
  return members;
}

const sources = new WeakMap();

/** Reads the answer that lists messages, and remembers the text of each. */
export function readMessages(text) {
  const page = JSON.parse(text);
  let items = null; // found when one is asked for: most messages are never shown as JSON
  const find = (nth) => (items ??= itemsOf(membersOf(text).get("messages")))[nth];
  page.messages.forEach((message, nth) => sources.set(message, () => find(nth)));
  return page;
}

/** The text of a message as the server sent it. */
export const sourceOf = (message) => sources.get(message)?.() ?? JSON.stringify(message);

/** The text of a message's content, and of each of its parts. */
export const contentSourceOf = (message) => membersOf(sourceOf(message)).get("content") ?? "";
export const partSourcesOf = remembered((message) => itemsOf(contentSourceOf(message)));

function remembered(work) {
  const known = new WeakMap();
  return (one) => {
    if (!known.has(one)) known.set(one, work(one));
    return known.get(one);
  };
}

function blanksEnd(text, at) {
  SPACE.lastIndex = at;
  SPACE.test(text);
  return SPACE.lastIndex;
}

function next(text, end) {
  const at = blanksEnd(text, end);
  return text[at] === "," ? blanksEnd(text, at + 1) : at;
}

/** Where a string, number or word ends that begins here; -1 where none does. */
function scalarEnd(text, at) {
  if (text[at] === '"') return stringEnd(text, at);
  SCALAR.lastIndex = at;
  return SCALAR.test(text) ? SCALAR.lastIndex : -1;
}

function stringEnd(text, at) {
  for (let end = text.indexOf('"', at + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    let slashes = 0;
    while (text[end - 1 - slashes] === "\\") slashes += 1;
    if (slashes % 2 === 0) return end + 1;
  }
  return -1;
}

/** Where a value ends in text that is known to be JSON. */
function valueEnd(text, at) {
  let depth = 0;
  for (let end = at; end < text.length; ) {
    if (text[end] === '"') end = stringEnd(text, end);
    else if ("[{".includes(text[end])) [depth, end] = [depth + 1, end + 1];
    else if ("]}".includes(text[end])) [depth, end] = [depth - 1, end + 1];
    else if (depth > 0) end += 1;
    else return scalarEnd(text, end);
    if (depth === 0) return end;
  }
  return text.length;
}
