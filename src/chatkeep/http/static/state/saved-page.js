// A session saved as a page of its own, which any browser shows without a server.

import { pageOf } from "../text/saved-page.js";
import { words } from "../text/words.js";
import * as api from "../wire/api.js";
import { download, fileName } from "./actions.js";
import { notices } from "./notices.js";

const STEP = 500;

/**
 * Downloads a session as one HTML file with all that it needs.
 * @param {api.SessionRow} row
 */
export async function savePage(row) {
  const away = notices.say(words.preparing, { shown_ms: 600_000 });
  try {
    const messages = await messagesOf(row.id);
    download(new Blob([await pageOf(row, messages)], { type: "text/html" }), `${fileName(row.title)}.html`);
  } catch (error) {
    notices.complain(error);
  } finally {
    away();
  }
}

/** @param {string} session */
async function messagesOf(session) {
  const { signal } = new AbortController();
  /** @type {api.Message[]} */
  const messages = [];
  for (let hasMore = true; hasMore; ) {
    const page = await api.readMessages({ session, after: messages.at(-1)?.seq ?? 0, limit: STEP }, signal);
    messages.push(...page.messages);
    hasMore = page.has_more && page.messages.length > 0;
  }
  return messages;
}
