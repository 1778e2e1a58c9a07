// The reasoning of a model, parted from its answer by the rules of docs/reference/format.md.

import { fieldsOf, textOfPart } from "./messages.js";

const TYPES = new Set(
  "thinking redacted_thinking think thought reasoning reasoning_content reasoning_text reasoning.text reasoning.summary reasoning.encrypted summary_text".split(" "),
);
const FIELDS = ["reasoning_content", "reasoning", "reasoning_text", "thinking", "reasoning_details", "thinking_blocks"];
const HOLDERS = ["thinking", "reasoning", "think", "thought", "reasoning_content", "text", "content", "summary"];
const CLOSING = new Map([
  ...["think", "thinking", "reasoning", "thought", "seed:think"].map((name) => /** @type {[string, string]} */ ([`<${name}>`, `</${name}>`])),
  ["[think]", "[/think]"],
  ["◁think▷", "◁/think▷"],
  ["<|start_thinking|>", "<|end_thinking|>"],
]);
const TAG_CHARS_MAX = Math.max(...[...CLOSING.keys()].map((tag) => tag.length));
const patternOf = (/** @type {string} */ tag) => tag.replace(/[[\]|]/g, "\\$&");
const OPENS = new RegExp(`^\\s*(${[...CLOSING.keys()].map(patternOf).join("|")})`, "i");
const NESTED_MAX = 8;

/** @typedef {import("./messages.js").Message} Message */
/** @typedef {import("./messages.js").Part} Part */
/** @typedef {{ part: Part, place: number }} Placed with its place in the content */

/**
 * Parts a text in two: the answer, and the reasoning between tags before it.
 * @param {string} text
 */
export function parted(text) {
  const thoughts = [];
  let rest = text;
  for (let opened = OPENS.exec(rest); opened; opened = OPENS.exec(rest)) {
    const close = CLOSING.get(String(opened[1]).toLowerCase()) ?? "";
    const begin = rest.slice(opened[0].length);
    const end = begin.search(new RegExp(patternOf(close), "i"));
    thoughts.push(end < 0 ? begin : begin.slice(0, end));
    rest = end < 0 ? "" : begin.slice(end + close.length);
  }
  return { text: thoughts.length ? rest.replace(/^\s+/, "") : text, reasoning: thoughts.join("\n\n") };
}

/**
 * Parts a text that still comes: the beginning of a tag is not shown as answer.
 * @param {string} text
 */
export function partedSoFar(text) {
  const begun = text.trimStart().slice(0, TAG_CHARS_MAX + 1).toLowerCase();
  const isBegun = begun && [...CLOSING.keys()].some((tag) => tag !== begun && tag.startsWith(begun));
  return isBegun ? { text: "", reasoning: "" } : parted(text);
}

/** @param {Part} part */
function isThought(part) {
  const { type, thought } = fieldsOf(part);
  return TYPES.has(String(type)) || thought === true;
}

/**
 * Returns how long the model thought, in milliseconds; null where nobody has measured it.
 * @param {Message["metadata"]} metadata
 */
export function reasoningTime(metadata) {
  const ms = metadata?.reasoning_ms;
  return typeof ms === "number" && ms >= 0 && Number.isFinite(ms) ? ms : null;
}

/**
 * Returns the reasoning before an answer, and the parts of its message without that.
 * @param {Message} message
 * @returns {{ reasoning: string, parts: Placed[] }}
 */
export function withoutReasoning({ role, content, metadata }) {
  /** @type {Part[]} */
  const parts = typeof content === "string" ? [{ type: "text", text: content }] : content ?? [];
  if (role !== "assistant") return { reasoning: "", parts: parts.map((part, place) => ({ part, place })) };
  const found = [wordsOf(metadata?.reasoning)];
  if (!found[0]) found.push(...wordsOfFields(fieldsOf(metadata?.openai)));
  /** @type {Placed[]} */
  const kept = [];
  for (const [place, part] of parts.entries()) {
    const isFirst = kept.every((one) => !(textOfPart(one.part) ?? "").trim());
    if (isThought(part)) found.push(wordsOf(part));
    else if (isFirst && OPENS.test(textOfPart(part) ?? "")) {
      const { text, reasoning } = parted(textOfPart(part) ?? "");
      found.push(reasoning);
      if (text) kept.push({ part: typeof part === "string" ? text : { ...part, text }, place });
    } else kept.push({ part, place });
  }
  const thoughts = found.map((thought) => thought.trim()).filter(Boolean);
  return { reasoning: [...new Set(thoughts)].join("\n\n"), parts: kept };
}

/** @param {import("./messages.js").Fields} fields */
function wordsOfFields(fields) {
  const plain = FIELDS.map((name) => fields[name]).filter((words) => typeof words === "string" && words).map(String);
  return plain.length ? plain : FIELDS.map((name) => wordsOf(fields[name])).filter(Boolean);
}

/**
 * @param {unknown} value
 * @param {number} [depth]
 * @returns {string}
 */
function wordsOf(value, depth = NESTED_MAX) {
  if (typeof value === "string") return value;
  if (!value || typeof value !== "object" || !depth) return "";
  if (Array.isArray(value)) return value.map((inner) => wordsOf(inner, depth - 1)).filter(Boolean).join("\n\n");
  const fields = fieldsOf(value);
  return HOLDERS.map((name) => wordsOf(fields[name], depth - 1)).find(Boolean) ?? "";
}
