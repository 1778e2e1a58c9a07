// A message of the AI SDK's user interface as one of Chatkeep, as `chatkeep.adapters.ai_sdk` stores it in Python.

const ROLES = new Set(["system", "user", "assistant"]);
const UNSTORABLE = /\0|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;
const DEPTH_MAX = 120; // of a message of Chatkeep, less what is around this one

/** Return a message to store: its words as the content, and all of it in the metadata. */
export function draftOf(message) {
  if (typeof message?.id !== "string" || !ROLES.has(message.role) || !Array.isArray(message.parts)) {
    throw new TypeError("A UIMessage has an id, a role (system, user or assistant) and parts.");
  }
  const item = JSON.parse(JSON.stringify(message));
  const words = item.parts.filter((part) => part.type === "text").map((part) => `${part.text ?? ""}`);
  const kept = isPlain(item, DEPTH_MAX) ? { item } : { base64: base64Of(escaped(JSON.stringify(item))) };
  return { role: item.role, content: words.join("\n").replace(UNSTORABLE, "\ufffd"), metadata: { ai_sdk: kept } };
}

function isPlain(value, depth) {
  if (typeof value === "string") return value.search(UNSTORABLE) < 0;
  if (value === null || typeof value !== "object") return true;
  if (depth === 0) return false;
  return Object.entries(value).every(([name, one]) => isPlain(name, 1) && isPlain(one, depth - 1));
}

/** Return JSON in ASCII alone. */
function escaped(json) {
  return json.replace(/[^\0-~]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

function base64Of(ascii) {
  return btoa(ascii);
}
