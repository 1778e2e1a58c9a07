// The public API as functions. Answers are its JSON as it stands; every failure is a Problem.

import { readMessages as withSources } from "./source.js";

export class Problem extends Error {
  constructor(status, code, detail) {
    super(detail);
    this.status = status;
    this.code = code;
  }
}

async function request(path, { method = "GET", query = {}, body, signal, keepalive, headers = {} } = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== "");
  const address = given.length ? `${path}?${new URLSearchParams(given)}` : path;
  const sent = body === undefined ? {} : { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
  let answer;
  try {
    answer = await fetch(address, { method, signal, keepalive, ...sent, headers: { ...sent.headers, ...headers } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "unreachable", "The server does not answer. Is `chatkeep serve` running?");
  }
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => ({}));
  throw new Problem(answer.status, told.code ?? "failed", told.detail ?? `The server answered ${answer.status}.`);
}

const json = async (path, options) => (await request(path, options)).json();
const sessionPath = (key) => `/api/v1/sessions/${encodeURIComponent(key)}`;

export const signIn = (body) => json("/signin", { method: "POST", body });
export const signOut = () => json("/signin", { method: "DELETE" });
export const status = (signal) => json("/api/v1/status", { signal });
export const stats = () => json("/api/v1/stats");
export const listSessions = (query, signal) => json("/api/sessions", { query, signal });
export const searchSessions = (query, signal) => json("/api/sessions/search", { query, signal });
export const getSession = (key, signal) => json(sessionPath(key), { signal });
export const reviseSession = (key, body) => json(sessionPath(key), { method: "PATCH", body });

/** Messages, each with its text as the server sent it: `sourceOf` of "source.js". */
export const readMessages = async (query, signal) => withSources(await (await request("/api/v1/messages", { query, signal })).text());

/** Deletes by keys in the body: there every key can be named, "." and ".." too, which no address can. */
export const deleteSessions = (keys, keepalive = false) =>
  json("/api/v1/sessions/delete", { method: "POST", body: { keys, dry_run: false }, keepalive });

export const exportSession = async (session, format) =>
  (await request("/api/v1/export", { query: { session, format } })).blob();

/** Yields what happens, as [name, data, id], until the stream ends or the signal ends it. */
export async function* followEvents(lastId, signal) {
  const headers = lastId ? { "Last-Event-ID": lastId } : {};
  yield* eventsOf(await request("/api/v1/events", { headers, signal }));
}

/** Yields the server-sent events of an answer as [name, data, id]. */
export async function* eventsOf(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read().catch(broken);
    if (done) return;
    const blocks = (rest + value.replaceAll("\r", "")).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const fields = Object.fromEntries(block.split("\n").map((line) => line.split(/: ?(.*)/s, 2)));
      if (fields.event) yield [fields.event, JSON.parse(fields.data || "{}"), fields.id];
    }
  }
}

function broken(error) {
  throw error.name === "AbortError" ? error : new Problem(0, "unreachable", "The connection to the server broke off.");
}

export const listModels = () => json("/v1/models");

/** Streams the answer of a model, as [name, data]. */
export async function* chat(body, signal) {
  yield* eventsOf(await request("/api/v1/chat/stream", { method: "POST", body, signal }));
}
