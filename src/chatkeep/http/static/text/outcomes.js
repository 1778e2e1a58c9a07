// Whether a call of a tool failed. Programs say it in their own ways; a text counts where its first words say so.

import { fieldsOf, textOf } from "./messages.js";

/** @typedef {import("./messages.js").Message} Message */

const BEGIN_CHARS = 2000;
const FAILED = new Set(["error", "failed", "failure", "timeout", "cancelled", "canceled", "denied", "rejected"]);
const WORDS = /^\s*(?:<(?:tool_use_)?error>|traceback \(most recent call last\)|\[?(?:error|fatal|exception|failed|failure)\b(?!\s*(?:s\b|handling|rate|=|\())|(?:exit|return) code:? [1-9]|[A-Za-z_.]*(?:Error|Exception):\s)/i;
const EXIT = /"(?:exit_?code|return_?code|exitCode|returncode|status_code)"\s*:\s*(-?\d+)/;

/**
 * Tells whether the result of a call says that the call failed.
 * @param {Message} result
 */
export function hasFailed(result) {
  const { metadata, content } = result;
  const parts = Array.isArray(content) ? content.map(fieldsOf) : [];
  if ([fieldsOf(metadata), ...parts].some((fields) => isFailure(fields))) return true;
  const text = textOf(content).slice(0, BEGIN_CHARS);
  if (/^\s*\{/.test(text)) return saysSo(text);
  return WORDS.test(text);
}

/** @param {Record<string, unknown>} fields */
function isFailure(fields) {
  const { is_error: isError, isError: alsoError, success, ok, status, error } = fields;
  if (isError === true || alsoError === true || success === false || ok === false) return true;
  if (typeof status === "string" && FAILED.has(status.toLowerCase())) return true;
  return Boolean(error) && error !== "none";
}

/**
 * Tells whether the beginning of an object of JSON says it; the rest may be long, and is not read.
 * @param {string} text
 */
function saysSo(text) {
  const exit = EXIT.exec(text)?.[1];
  if (exit !== undefined && Number(exit) !== 0 && !(Number(exit) >= 200 && Number(exit) < 400)) return true;
  return /^\s*\{\s*"(?:error|errors)"\s*:(?!\s*(?:null|false|""|\[\]|\{\}))/.test(text) || /"(?:is_error|isError)"\s*:\s*true|"(?:success|ok)"\s*:\s*false/.test(text.slice(0, 400));
}
