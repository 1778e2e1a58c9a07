// Figures of an answer: the model, tokens, time and cost, as far as they are stored. Programs name them differently.

import { fieldsOf } from "./messages.js";
import { lasted } from "./times.js";
import { words } from "./words.js";

/** @typedef {import("./messages.js").Message} Message */
/** @typedef {{ model: string, sent: number, answered: number, ms: number, cost: number }} Figures 0 and "" where nothing is stored */

const SENT = ["prompt_tokens", "input_tokens", "promptTokenCount", "input", "prompt"];
const ANSWERED = ["completion_tokens", "output_tokens", "candidatesTokenCount", "output", "completion"];
const LASTED = ["latency_ms", "duration_ms", "elapsed_ms"];

/**
 * Returns the figures of a message.
 * @param {Message} message
 * @returns {Figures}
 */
export function figuresOf({ metadata }) {
  const fields = fieldsOf(metadata);
  const usage = fieldsOf(fields.usage ?? fields.tokens);
  const model = fields.model ?? fieldsOf(fields.response).model;
  return {
    model: typeof model === "string" ? model : "",
    sent: firstOf(usage, SENT),
    answered: firstOf(usage, ANSWERED),
    ms: firstOf(fields, LASTED),
    cost: firstOf({ ...fields, usage: usage.cost }, ["cost", "cost_usd", "usage"]),
  };
}

/**
 * Returns figures as words: "small-model", "1,200 + 34 tokens", "2 s", "$0.004".
 * @param {Figures} figures
 */
export function figureWords({ model, sent, answered, ms, cost }) {
  const tokens = sent || answered ? [words.tokens(sent, answered)] : [];
  const price = cost ? [`$${cost < 0.01 ? cost.toPrecision(2) : cost.toFixed(2)}`] : [];
  return [...(model ? [model] : []), ...tokens, ...(ms ? [lasted(ms)] : []), ...price];
}

/**
 * Returns the first of the named fields that is a number above 0.
 * @param {Record<string, unknown>} fields
 * @param {string[]} names
 */
function firstOf(fields, names) {
  const known = names.map((name) => fields[name]).find((value) => typeof value === "number" && Number.isFinite(value) && value > 0);
  return Number(known ?? 0);
}
