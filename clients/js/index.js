// A client of Chatkeep's HTTP API, for Node 20, Deno, Bun, workers and browsers. It needs `fetch`, and nothing else.

import { draftOf } from "./chat.js";
import { eventsIn } from "./stream.js";

/** An error of the server, or of the way to it (`status` 0). `code` is stable: docs/reference/errors.md. */
export class ChatkeepError extends Error {
  constructor(problem, options) {
    super(problem.detail, options);
    this.name = "ChatkeepError";
    this.code = problem.code;
    this.status = problem.status;
    this.problem = problem;
  }
}

const CHANGES = new Set(["ready", "created", "appended", "revised", "deleted", "reset"]);
const RECONNECT_MS = 1000; // between two tries to follow the changes
const WINDOW = 500; // messages fetched at a time

export class Chatkeep {
  #base;
  #token;
  #fetch;

  constructor({ url, token, fetch = globalThis.fetch }) {
    if (typeof url !== "string" || typeof token !== "string") throw new TypeError("Chatkeep needs a url and a token.");
    this.#base = url.replace(/\/+$/, "");
    this.#token = token;
    this.#fetch = fetch;
  }

  // Sessions

  async get(key) {
    return sessionOf(await this.#ask("GET", `/api/v1/sessions/${encodeURIComponent(key)}`));
  }

  async list(filters = {}) {
    const page = await this.#ask("GET", "/api/sessions", { limit: 50, ...filters });
    return { ...page, sessions: page.sessions.map(sessionOf) };
  }

  async *sessions({ cursor, ...filters } = {}) {
    let next = cursor;
    do {
      const page = await this.list({ limit: WINDOW, ...filters, cursor: next });
      yield* page.sessions;
      next = page.next_cursor;
    } while (next);
  }

  async create(session = {}) {
    return sessionOf(await this.#ask("POST", "/api/v1/sessions", {}, session));
  }

  async fork({ session, seq, key }) {
    return sessionOf(await this.#ask("POST", "/api/v1/fork", {}, { session, seq, key }));
  }

  async revise(key, { metadata_mode, ...changes }) {
    const path = `/api/v1/sessions/${encodeURIComponent(key)}`;
    return sessionOf(await this.#ask("PATCH", path, { metadata_mode }, changes));
  }

  delete(key, { trash } = {}) {
    return this.#ask("DELETE", `/api/v1/sessions/${encodeURIComponent(key)}`, { trash });
  }

  async search(q, filters = {}) {
    const { sessions, ...rest } = await this.#ask("GET", "/api/sessions/search", { q, ...filters });
    return { hits: sessions.map(({ id, match, match_role, ...hit }) => ({ key: id, excerpt: match, role: match_role, ...hit })), ...rest };
  }

  // Messages

  messages(session, { limit = 50, ...rest } = {}) {
    return this.#ask("GET", "/api/v1/messages", { session, limit, ...rest });
  }

  async *read(session, { log } = {}) {
    let after = 0;
    let more = true;
    while (more) {
      const page = await this.messages(session, { limit: WINDOW, after, log });
      yield* page.messages;
      after = page.messages.at(-1)?.seq ?? after;
      more = page.has_more;
    }
  }

  append(session, messages, { create, expect_count, channel } = {}) {
    const listed = Array.isArray(messages) ? messages : [messages];
    return this.#ask("POST", "/api/v1/messages", { session, create, expect_count, channel }, listed);
  }

  replace(session, messages, { create, expect_count, mark } = {}) {
    return this.#ask("PUT", "/api/v1/messages", { session, create, expect_count, mark }, messages);
  }

  drop(session, choice, { expect_count, mark } = {}) {
    return this.#ask("DELETE", "/api/v1/messages", { session, ...choice, expect_count, mark });
  }

  // The chats of the AI SDK

  async loadChat(id, { last = Infinity } = {}) {
    const found = [];
    let before;
    try {
      for (let more = true; more && found.length < last; ) {
        const limit = Math.min(WINDOW, last - found.length);
        const page = await this.messages(id, { limit, before });
        if (page.messages.length === 0) break;
        const behind = page.messages.at(-1).seq + 1; // a message that comes meanwhile must push out none of these
        const shaped = await this.messages(id, { limit, before: behind, shape: "ui" });
        found.unshift(...shaped.messages);
        before = page.messages[0].seq;
        more = page.has_more;
      }
    } catch (error) {
      if (error instanceof ChatkeepError && error.code === "session_not_found") return [];
      throw error;
    }
    return found.slice(-last);
  }

  async saveChat({ id, messages, channel }) {
    const drafts = messages.map(draftOf);
    const isShort = drafts.length <= 1000; // as many as one append takes
    return (
      (await unless("session_not_found", this.replace(id, drafts, { create: false }))) ??
      (channel && isShort ? await unless("count_conflict", this.append(id, drafts, { channel, expect_count: 0 })) : null) ??
      this.replace(id, drafts)
    );
  }

  async addToChat(id, messages) {
    return this.append(id, messages.map(draftOf));
  }

  // Everything else

  token() {
    return this.#ask("GET", "/api/v1/token");
  }

  async export(session, { format = "json", log } = {}) {
    const answer = await this.#send("GET", "/api/v1/export", { session, format, log });
    return this.#body(answer.text());
  }

  /** Changes, one after the other, over lost connections too. `after` is the id of the last one that you know. */
  async *events({ after, signal } = {}) {
    let last = after;
    while (!signal?.aborted) {
      try {
        const headers = last === undefined ? {} : { "Last-Event-ID": last };
        const answer = await this.#send("GET", "/api/v1/events", {}, undefined, { headers, signal });
        for await (const { event, id, data } of eventsIn(answer.body)) {
          last = id || last;
          if (CHANGES.has(event)) yield { kind: event, id, ...(data ? JSON.parse(data) : {}) };
        }
      } catch (error) {
        if (signal?.aborted) return;
        if (error instanceof ChatkeepError && error.status >= 400 && error.status < 500 && error.status !== 429) throw error;
      }
      await paused(RECONNECT_MS, signal);
    }
  }

  async #ask(method, path, query = {}, body = undefined) {
    const answer = await this.#send(method, path, query, body);
    return answer.status === 204 ? null : this.#body(answer.json());
  }

  /** Return what is in an answer; one that breaks off, or is none of Chatkeep's, is no answer. */
  async #body(reading) {
    try {
      return await reading;
    } catch (cause) {
      throw this.#unreachable(cause);
    }
  }

  #unreachable(cause) {
    return new ChatkeepError({ code: "unreachable", status: 0, detail: `No answer from ${this.#base}.` }, { cause });
  }

  async #send(method, path, query = {}, body = undefined, { headers = {}, signal } = {}) {
    const sent = { Authorization: `Bearer ${this.#token}`, ...headers };
    if (body !== undefined) sent["Content-Type"] = "application/json";
    let answer;
    try {
      const given = body === undefined ? undefined : JSON.stringify(body);
      answer = await this.#fetch(`${this.#base}${path}${queryOf(query)}`, { method, headers: sent, body: given, signal });
    } catch (cause) {
      if (signal?.aborted) throw cause;
      throw this.#unreachable(cause);
    }
    if (!answer.ok) throw new ChatkeepError(await problemOf(answer));
    return answer;
  }
}

/** Return what a promise gives, null where it fails with a code. */
async function unless(code, promise) {
  try {
    return await promise;
  } catch (error) {
    if (error instanceof ChatkeepError && error.code === code) return null;
    throw error;
  }
}

/** Return a session in one shape, from either dialect of the server. */
function sessionOf({ id, age_seconds, messages, total_message_count, ...given }) {
  if (id !== undefined) return { key: id, ...given };
  const times = ["created_at", "updated_at"].map((name) => [name, new Date(given[name] * 1000).toISOString()]);
  const counts = { talk_count: given.message_count, message_count: total_message_count };
  return { ...given, ...Object.fromEntries(times), ...counts };
}

function queryOf(query) {
  const found = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? value : [value]) if (one !== undefined && one !== null) found.append(name, `${one}`);
  }
  return found.size ? `?${found}` : "";
}

async function problemOf(answer) {
  try {
    const problem = await answer.json();
    if (typeof problem.detail === "string") return { code: "failed", status: answer.status, ...problem };
  } catch {
    // broken off, or not JSON: something between here and the server answered
  }
  return { code: "failed", status: answer.status, detail: `The server answered ${answer.status}.` };
}

function paused(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(done, milliseconds);
    signal?.addEventListener("abort", done);
    function done() {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    }
  });
}
