// The public API as functions. Answers are its JSON as it stands; every failure is a Problem.

import { messagePageOf } from "../text/json.js";
import { words } from "../text/words.js";

/** @typedef {import("../text/messages.js").Message} Message */
/** @typedef {{ detail?: string, code?: string, errors?: ImportFlaw[] }} Refusal */
/** @typedef {{ title: string, user_title: string | null, channel: string, preview: string, archived: boolean, pinned: boolean, tags: string[], damage?: string }} Facts */
/** @typedef {Facts & { id: string, message_count: number, updated_at: string }} SessionRow */
/** @typedef {Facts & { key: string, total_message_count: number, created_at: number, updated_at: number, metadata: Record<string, unknown> }} SessionDetail its times in seconds */
/** @typedef {{ sessions: SessionRow[], total: number, next_cursor: string | null, unreadable?: number }} SessionPage */
/** @typedef {{ id: string, seq: number, title: string, channel: string, match: string, match_role: string, last_activity: string, highlights: [number, number][], title_highlights?: [number, number][], match_count: number }} Hit */
/** @typedef {{ roles: Record<string, number>, unfiltered: number }} Elsewhere where a search without hits would have some */
/** @typedef {{ sessions: Hit[], mode: "all" | "any", next_cursor?: string | null, elsewhere?: Elsewhere | null }} HitPage */
/** @typedef {{ messages: Message[], has_more: boolean }} MessagePage */
/** @typedef {{ session_count: number, message_count: number, size_bytes: number, channels: Record<string, number>, problems: Record<string, string>, chat: boolean }} Status */
/** @typedef {{ session_count: number, message_count: number, size_bytes: number }} Totals */
/** @typedef {{ start: string, session_count: number, message_count: number }} Period */
/** @typedef {Totals & { channel: string }} ChannelTotals */
/** @typedef {{ key: string, title: string, message_count: number, size_bytes: number }} LargeSession */
/** @typedef {{ place: string, reason: string }} ImportFlaw */
/** @typedef {{ sessions_created: number, sessions_extended: number, messages_added: number, messages_skipped: number, errors: ImportFlaw[] }} ImportReport */
/** @typedef {{ session_count: number, periods: Period[], channels: ChannelTotals[], largest: LargeSession[], tags: { tag: string }[] }} Stats */
/** @typedef {{ title?: string | null, pinned?: boolean, archived?: boolean, tags?: string[] }} Revision */
/** @typedef {{ message: string, session_key?: string, model?: string }} Said */
/** @typedef {Record<string, string | number | null | undefined>} Query what is empty is not sent */
/** @typedef {[name: string, data: Record<string, unknown>, id: string | undefined]} ServerEvent */
/** @typedef {{ method?: string, query?: Query, body?: object | Blob, signal?: AbortSignal, keepalive?: boolean, headers?: Record<string, string> }} Options */

export class Problem extends Error {
  /**
   * @param {number} status of HTTP; 0 where no answer came
   * @param {string} code
   * @param {string} detail
   * @param {ImportFlaw[]} [flaws] of an import
   */
  constructor(status, code, detail, flaws = []) {
    super(detail);
    this.status = status;
    this.code = code;
    this.flaws = flaws;
  }
}

/**
 * Returns a caught error as a problem.
 * @param {unknown} error
 */
export function problemOf(error) {
  if (error instanceof Problem) return error;
  return new Problem(0, "failed", error instanceof Error ? error.message : String(error));
}

/**
 * @param {string} path
 * @param {Options} [options]
 */
async function request(path, { method = "GET", query = {}, body, signal, keepalive, headers = {} } = {}) {
  const given = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value || value === 0) given.append(name, String(value));
  const address = given.size ? `${path}?${given}` : path;
  /** @type {{ body?: BodyInit, headers?: Record<string, string> }} */
  const sent = body === undefined ? {} : sentAs(body);
  /** @type {Response} */
  let answer;
  try {
    answer = await fetch(address, { method, signal, keepalive, ...sent, headers: { ...sent.headers, ...headers } });
  } catch (error) {
    if (isAbort(error)) throw error;
    throw new Problem(0, "unreachable", words.unreachable);
  }
  if (answer.ok) return answer;
  /** @type {Refusal} */
  const refusal = await answer.json().catch(() => ({}));
  throw new Problem(answer.status, refusal.code ?? "failed", refusal.detail ?? words.answeredStatus(answer.status), refusal.errors);
}

/** @param {object | Blob} body */
const sentAs = (body) =>
  body instanceof Blob
    ? { body, headers: { "Content-Type": "application/octet-stream" } }
    : { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };

/** @param {unknown} error */
const isAbort = (error) => error instanceof Error && error.name === "AbortError";

/**
 * @param {string} path
 * @param {Options} [options]
 */
const json = async (path, options) => (await request(path, options)).json();

/** @param {string} key */
const sessionPath = (key) => `/api/v1/sessions/${encodeURIComponent(key)}`;

/** @type {(body: { code: string } | { token: string }) => Promise<void>} */
export const openPageSession = (body) => json("/signin", { method: "POST", body });
/** @type {() => Promise<void>} */
export const closePageSession = () => json("/signin", { method: "DELETE" });
/** @type {(signal: AbortSignal) => Promise<Status>} */
export const status = (signal) => json("/api/v1/status", { signal });
/** @type {() => Promise<Stats>} */
export const stats = () => json("/api/v1/stats");
/** @type {(since: string) => Promise<Stats>} */
export const statsByDay = (since) => json("/api/v1/stats", { query: { unit: "day", since } });
/** @type {(file: Blob, format: "json" | "jsonl") => Promise<ImportReport>} */
export const importSessions = (file, format) => json("/api/v1/import", { method: "POST", query: { format }, body: file });
/** @type {(query: Query, signal?: AbortSignal) => Promise<SessionPage>} */
export const listSessions = (query, signal) => json("/api/sessions", { query, signal });
/** @type {(query: Query, signal: AbortSignal) => Promise<HitPage>} */
export const searchSessions = (query, signal) => json("/api/sessions/search", { query, signal });
/** @type {(key: string) => Promise<SessionDetail>} */
export const getSession = (key) => json(sessionPath(key));
/** @type {(key: string, body: Revision) => Promise<SessionDetail>} */
export const reviseSession = (key, body) => json(sessionPath(key), { method: "PATCH", body });

/** @type {(body: { session: string, seq: number }) => Promise<SessionDetail>} */
export const forkSession = (body) => json("/api/v1/fork", { method: "POST", body });

/**
 * Reads messages, each with its text as the server sent it: see `sourceOf` of "text/json.js".
 * @type {(query: Query, signal?: AbortSignal) => Promise<MessagePage>}
 */
export const readMessages = async (query, signal) => messagePageOf(await (await request("/api/v1/messages", { query, signal })).text());

/**
 * Deletes by keys in the body: there every key can be named, "." and ".." too, which no address can.
 * @type {(keys: string[], keepalive?: boolean) => Promise<void>}
 */
export const deleteSessions = (keys, keepalive = false) =>
  json("/api/v1/sessions/delete", { method: "POST", body: { keys, dry_run: false }, keepalive });

/** @type {(session: string, format: string) => Promise<Blob>} */
export const exportSession = async (session, format) =>
  (await request("/api/v1/export", { query: { session, format } })).blob();

/**
 * Yields what happens until the stream ends or the signal ends it.
 * @param {string | null} lastId
 * @param {AbortSignal} signal
 */
export async function* followEvents(lastId, signal) {
  /** @type {Record<string, string>} */
  const headers = lastId ? { "Last-Event-ID": lastId } : {};
  yield* eventsOf(await request("/api/v1/events", { headers, signal }));
}

/** @type {() => Promise<{ data?: { id: string }[] }>} */
export const listModels = () => json("/v1/models");

/**
 * Streams the answer of a model.
 * @param {Said} body
 * @param {AbortSignal} signal
 */
export async function* chat(body, signal) {
  yield* eventsOf(await request("/api/v1/chat/stream", { method: "POST", body, signal }));
}

/**
 * Yields the server-sent events of an answer.
 * @param {Response} answer
 * @returns {AsyncGenerator<ServerEvent>}
 */
async function* eventsOf(answer) {
  if (!answer.body) return;
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read().catch(broken);
    if (done) return;
    const blocks = (rest + value.replaceAll("\r", "")).split("\n\n");
    rest = blocks.pop() ?? "";
    for (const block of blocks) {
      /** @type {Record<string, string>} */
      const fields = Object.fromEntries(block.split("\n").map((line) => line.split(/: ?(.*)/s, 2)));
      if (fields.event) yield [fields.event, JSON.parse(fields.data || "{}"), fields.id];
    }
  }
}

/**
 * @param {unknown} error
 * @returns {never}
 */
function broken(error) {
  throw isAbort(error) ? error : new Problem(0, "unreachable", words.brokenOff);
}
