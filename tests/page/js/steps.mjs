// Counts the steps that the page's scripts take for texts, in Node: `node steps.mjs STATIC < TEXTS`.
//
// TEXTS is a list of [name, text, text of twice the length]. A line of JSON comes out for each of them and each door:
// the characters and items that functions of the language pass over there, in searches, patterns and cuts. One more
// line, `scripts`, has the runs of pieces of script at all doors, by V8's own count. That leaves out what a search
// passes over, and a search in a loop is a loop in a loop.

import { Session } from "node:inspector";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const home = `${pathToFileURL(process.argv[2]).href}/`;
const devtools = new Session();
devtools.connect();
let passed = 0; // characters and items

/** Counts what a function of the language passes over, too. */
function counting(holder, name, cost) {
  const own = holder[name];
  holder[name] = function (...given) {
    const found = own.apply(this, given);
    passed += cost.call(this, found, ...given);
    return found;
  };
}

/** How far a search came from a place on. */
function reached(found, sought, from = 0) {
  return found < 0 ? Math.max(0, this.length - from) : found - from + 1;
}

function countAll() {
  counting(String.prototype, "indexOf", reached);
  counting(String.prototype, "lastIndexOf", function (found, _, from = this.length) { return found < 0 ? from : Math.abs(from - found) + 1; });
  for (const name of ["includes", "split", "replaceAll", "toLowerCase", "toUpperCase", "trim", "trimStart", "trimEnd", "normalize"]) {
    counting(String.prototype, name, function () { return this.length; });
  }
  for (const name of ["indexOf", "includes", "splice", "shift", "unshift", "join"]) counting(Array.prototype, name, function () { return this.length; });
  for (const name of ["slice", "concat"]) counting(Array.prototype, name, (found) => found.length);
  counting(Array.prototype, "push", (_, ...given) => given.length);
  counting(JSON, "parse", (_, text) => String(text).length);
  counting(JSON, "stringify", (found) => found?.length ?? 0);
  const { exec } = RegExp.prototype;
  RegExp.prototype.exec = function (text) { // all other functions with patterns call this one
    const from = this.global || this.sticky ? this.lastIndex : 0;
    const found = exec.call(this, text);
    if (found) passed += found.index - from + found[0].length + 1;
    else passed += this.sticky ? 1 : Math.max(1, String(text).length - from);
    return found;
  };
}

function runs() {
  let count = 0;
  devtools.post("Profiler.takePreciseCoverage", (_, { result }) => {
    for (const { url, functions } of result) {
      if (url.startsWith(home)) for (const { ranges } of functions) for (const range of ranges) count += range.count;
    }
  });
  return count;
}

// As much of a browser as the search for words in an element needs
globalThis.NodeFilter = { SHOW_TEXT: 4 };
globalThis.Range = class { setStart() {} setEnd() {} };
globalThis.document = {
  createTreeWalker(element) {
    const nodes = element[Symbol.iterator]();
    return { nextNode: () => nodes.next().value ?? null };
  },
};

const part = (name) => import(`${home}text/${name}.js`);
const [markdown, json, reasoning, folding, highlights, outcomes, attachments, messages] = await Promise.all(
  ["markdown", "json", "reasoning", "folding", "highlights", "outcomes", "attachments", "messages"].map(part),
);

const DOORS = {
  markdown: (text) => { for (const group of markdown.groupsOf(text)) if (!group.isPlain) group.html(); },
  blocks: (text) => markdown.wholesIn(text),
  fold: (text) => folding.folded(text),
  indent: (text) => json.indented(text),
  items: (text) => json.itemsOf(`[${text}]`),
  "items of texts": (text) => json.itemsOf(JSON.stringify([text, { text }])),
  members: (text) => json.membersOf(JSON.stringify({ [text]: text, a: [text] })),
  reasoning: (text) => reasoning.parted(text),
  "reasoning in parts": (text) => reasoning.withoutReasoning({ role: "assistant", content: [text, { type: "text", text }], metadata: { reasoning: text } }),
  "reasoning that grows": (text) => reasoning.partedSoFar(text),
  marks: (text) => highlights.bestOf(highlights.spotsOf([...text.slice(0, 40), text.slice(0, 30), "a", "b"].map((word) => word.toLowerCase()).filter(Boolean), [{ data: text }, { data: text }])),
  outcome: (text) => outcomes.hasFailed({ role: "tool", content: text, metadata: { status: text } }),
  attachment: (text) => attachments.attachmentIn({ type: "file", filename: text, file: { file_data: `data:${text};base64,${text}` }, url: text }),
  calls: (text) => messages.callsOf({ role: "assistant", content: text, tool_calls: [{ id: text, function: { name: text, arguments: text } }] }),
  "loop in a loop": (text) => { for (let at = 0; at < text.length; at += 9) text.indexOf("\u0000", at); }, // is to be seen
};

countAll();
await new Promise((done) => devtools.post("Profiler.enable", done));
await new Promise((done) => devtools.post("Profiler.startPreciseCoverage", { callCount: true, detailed: true }, done));
const tell = (...told) => process.stdout.write(`${JSON.stringify(told)}\n`);
runs();
for (const [name, ...texts] of JSON.parse(readFileSync(0, "utf8"))) {
  const passedAt = Object.fromEntries(Object.keys(DOORS).map((door) => [door, []]));
  const run = texts.map((text) => {
    for (const [door, work] of Object.entries(DOORS)) {
      passed = 0;
      work(text);
      passedAt[door].push(passed);
    }
    return runs(); // of all doors: to ask takes long
  });
  tell("scripts", name, ...run);
  for (const [door, steps] of Object.entries(passedAt)) tell(door, name, ...steps);
}
