// What a stored message says: its text, its calls, what came of them, how it ended. Others wrote it: nothing of its
// inside is certain.

import { contentSourceOf, itemsOf, membersOf, sourceOf } from "./json.js";
import { words } from "./words.js";

/** @typedef {{ [name: string]: unknown }} Fields an object of somebody else */
/** @typedef {string | Fields} Part */
/** @typedef {"user" | "assistant" | "system" | "developer" | "tool"} Role */
/** @typedef {{ seq: number, role: Role, content: string | Part[] | null, timestamp: string, name?: string, tool_calls?: Fields[] | null, tool_call_id?: string, metadata?: Fields | null }} Message */
/** @typedef {{ call: Fields, name: string, given: string | undefined }} Call with the JSON text of its arguments */

/**
 * Returns a value's fields; none where it is no object.
 * @param {unknown} value
 * @returns {Fields}
 */
export const fieldsOf = (value) => (value && typeof value === "object" ? /** @type {Fields} */ (value) : {});

/**
 * Returns the text of a part, or null where it has none.
 * @param {Part | null} part
 */
export function textOfPart(part) {
  const text = typeof part === "string" ? part : fieldsOf(part).text;
  return typeof text === "string" ? text : null;
}

/**
 * Returns the text parts of a message put together, for copying and finding.
 * @param {Message["content"]} content
 */
export function textOf(content) {
  if (typeof content === "string") return content;
  return (content ?? []).map((part) => textOfPart(part) ?? "").join("\n\n");
}

/**
 * Returns what came of a call: its text, or as JSON what is not text alone.
 * @param {Message} result
 */
export function outcomeOf(result) {
  const { content } = result;
  const isText = typeof content === "string" || (content ?? []).every((part) => textOfPart(part) !== null);
  return isText ? textOf(content) : contentSourceOf(result);
}

/**
 * Returns the calls of a message; what was given to each is exactly as it is stored.
 * @param {Message} message
 * @returns {Call[]}
 */
export function callsOf(message) {
  /** @type {string[] | null} */
  let texts = null; // read only where arguments are JSON themselves, not a string of it
  return (message.tool_calls ?? []).map((call, nth) => {
    const made = call.function ? fieldsOf(call.function) : call;
    const name = String(made.name ?? call.type ?? "call");
    const given = made.arguments ?? made.input;
    if (given === undefined || typeof given === "string") return { call, name, given };
    texts ??= itemsOf(membersOf(sourceOf(message)).get("tool_calls"));
    const members = membersOf(texts[nth]);
    const inner = call.function ? membersOf(members.get("function")) : members;
    return { call, name, given: inner.get("arguments") ?? inner.get("input") };
  });
}

/**
 * Returns what came of each call. Some programs use ids again in every turn: a result is that of the newest call
 * before it.
 * @param {Message[]} messages
 * @returns {Map<Fields, Message>}
 */
export function resultsOf(messages) {
  const open = new Map();
  const results = new Map();
  for (const message of messages) {
    for (const call of message.tool_calls ?? []) open.set(call.id, call);
    const call = message.role === "tool" && open.get(message.tool_call_id);
    if (!call) continue;
    results.set(call, message);
    open.delete(message.tool_call_id);
  }
  return results;
}

/**
 * Returns sentences on why an answer is not whole, with the words of the model's server where it gave some.
 * @param {Message["metadata"]} metadata
 */
export function endOf(metadata) {
  const { partial, reason, detail, error, finish_reason: finish } = metadata ?? {};
  if (partial) {
    const told = [detail, fieldsOf(error).message ?? error].find((one) => typeof one === "string" && one.trim());
    const reasons = new Map([["client_gone", words.clientGone], ["server_ended", words.serverEnded]]);
    const why = reasons.get(String(reason)) ?? (reason && !told ? words.cutReason(String(reason)) : "");
    return [`${words.cutOff} ${why}`.trim(), ...(told ? [String(told)] : [])];
  }
  if (finish === "length" || finish === "max_tokens") return [words.tokenLimit];
  return finish === "content_filter" ? [words.heldBack] : [];
}

/**
 * Returns the address of the picture in a part, or null.
 * @param {Part | null} part
 */
export function pictureIn(part) {
  const fields = fieldsOf(part);
  const inside = fieldsOf(fields.source);
  if (inside.type === "base64") return `data:${inside.media_type};base64,${inside.data}`;
  const address = fieldsOf(fields.image_url).url ?? fields.image_url ?? fields.url;
  return typeof address === "string" ? address : null;
}
