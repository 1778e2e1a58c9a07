/** A JSON value. */
export type Json = string | number | boolean | null | Json[] | { [name: string]: Json };
export type Role = "system" | "developer" | "user" | "assistant" | "tool" | "event";

/** A message to store. Without an `id` the server makes one; without a `timestamp` it is said now. */
export interface Draft {
  role: Role;
  content: string | Json[] | null;
  id?: string;
  timestamp?: string | number;
  name?: string;
  tool_calls?: Json[];
  tool_call_id?: string;
  metadata?: { [name: string]: Json };
  drops?: [number, number][];
}

/** A stored message: `seq` alone orders. */
export interface Message extends Omit<Draft, "timestamp" | "id"> {
  seq: number;
  id: string;
  timestamp: string;
  stored_at?: string;
}

export interface Session {
  key: string;
  /** What lists show; `user_title` is the one that somebody gave. */
  title: string;
  user_title: string | null;
  channel: string;
  created_at: string;
  updated_at: string;
  /** All messages that stand; `talk_count` has those of users and assistants, `line_count` is for `expect_count`. */
  message_count: number;
  talk_count: number;
  line_count: number;
  archived: boolean;
  pinned: boolean;
  tags: string[];
  preview: string;
  /** Always of one session; of a list with `metadata: true`. */
  metadata?: { [name: string]: Json };
}

export interface SessionPage {
  sessions: Session[];
  total: number;
  next_cursor: string | null;
}

/** `meta.NAME` chooses by metadata. */
export interface Filters {
  channel?: string;
  prefix?: string;
  tag?: string | string[];
  pinned?: boolean | "all";
  archived?: boolean | "all";
  updated_after?: string | number;
  updated_before?: string | number;
  parent?: string;
  person?: string;
  [meta: `meta.${string}`]: string | undefined;
}

export interface Window {
  messages: Message[];
  has_more: boolean;
  needed_tokens?: number;
}

export interface Appended {
  session: string;
  message_count: number;
  stored_count: number;
  messages: { seq: number; id: string; timestamp: string }[];
  drops?: [number, number][];
}

export interface Hit {
  key: string;
  title: string;
  channel: string;
  excerpt: string;
  role: Role;
  seq: number;
  message_id: string;
  last_activity: string;
  /** Places in `excerpt`: characters as Unicode counts them, `[start, end)`. */
  highlights: [number, number][];
  title_highlights: [number, number][];
  match_count: number;
}

export interface SearchPage {
  hits: Hit[];
  mode: string;
  partial: boolean;
  next_cursor: string | null;
}

/** One way to choose lines of a session. */
export type Choice = { last: number } | { seq: number | string } | { id: string } | { all: true };

export interface Change {
  /** `ready`: from here on changes come live; `reset`: read the lists again. */
  kind: "ready" | "created" | "appended" | "revised" | "deleted" | "reset";
  /** Give it as `after` to go on behind this change. */
  id: string;
  key?: string;
  first_seq?: number;
  last_seq?: number;
  drops?: [number, number][];
  session?: { [name: string]: Json } | null;
}

/** What the AI SDK's `UIMessage` has at least. */
export interface UIMessageLike {
  id: string;
  role: "system" | "user" | "assistant";
  parts: { type: string }[];
}

export interface Problem {
  code: string;
  status: number;
  detail: string;
  [more: string]: unknown;
}

/** An error of the server, or of the way to it (`status` 0). */
export class ChatkeepError extends Error {
  constructor(problem: Problem, options?: ErrorOptions);
  readonly code: string;
  readonly status: number;
  readonly problem: Problem;
}

export interface Options {
  url: string;
  token: string;
  /** In place of the global `fetch`. */
  fetch?: typeof globalThis.fetch;
}

export class Chatkeep {
  constructor(options: Options);

  /** Return a session. */
  get(key: string): Promise<Session>;
  /** Return a page of sessions, latest activity first: 50 of them unless `limit` says otherwise. */
  list(filters?: Filters & { limit?: number; cursor?: string; metadata?: boolean }): Promise<SessionPage>;
  /** Yield all sessions that match, page by page. */
  sessions(filters?: Filters & { limit?: number; cursor?: string; metadata?: boolean }): AsyncGenerator<Session>;
  /** Begin a session; 409 `session_exists` if the key has one. */
  create(session?: {
    key?: string;
    channel?: string;
    title?: string;
    created_at?: string;
    metadata?: { [name: string]: Json };
    archived?: boolean;
    pinned?: boolean;
    tags?: string[];
    messages?: Draft[];
  }): Promise<Session>;
  /** Begin a session with what stands of another, up to a seq. */
  fork(options: { session: string; seq?: number; key?: string }): Promise<Session>;
  /** Change a session; metadata is a merge patch. */
  revise(
    key: string,
    changes: {
      title?: string | null;
      archived?: boolean;
      pinned?: boolean;
      held?: boolean;
      tags?: string[];
      metadata?: { [name: string]: Json };
      metadata_mode?: "merge" | "replace";
    },
  ): Promise<Session>;
  delete(key: string, options?: { trash?: boolean }): Promise<Json>;
  /** Search; no text can fail. */
  search(
    q: string,
    filters?: Filters & {
      limit?: number;
      cursor?: string;
      session?: string;
      role?: string;
      since?: string;
      until?: string;
      sort?: string;
      unit?: string;
    },
  ): Promise<SearchPage>;

  /** Return neighbouring messages, oldest first; with `max_tokens` the newest that fit. */
  messages(
    session: string,
    options?: { limit?: number; before?: number; after?: number; max_tokens?: number; reasoning?: boolean; log?: boolean },
  ): Promise<Window>;
  /** Return messages as a protocol has them. */
  messages<T = Json>(
    session: string,
    options: { limit?: number; before?: number; after?: number; shape: "ui" | "openai" | "responses" | "anthropic" },
  ): Promise<{ messages: T[]; input: T[]; has_more: boolean }>;
  /** Yield all messages of a session, oldest first. */
  read(session: string, options?: { log?: boolean }): AsyncGenerator<Message>;
  /** Append, all or nothing; the answer comes when it is durable. */
  append(
    session: string,
    messages: Draft | Draft[],
    options?: { create?: boolean; expect_count?: number; channel?: string },
  ): Promise<Appended>;
  /** Put messages in place of all others, in one append. */
  replace(
    session: string,
    messages: Draft[],
    options?: { create?: boolean; expect_count?: number; mark?: string },
  ): Promise<Appended>;
  /** Take back lines. */
  drop(session: string, choice: Choice, options?: { expect_count?: number; mark?: string }): Promise<{ [name: string]: Json }>;

  /** Return the messages of a chat, as `validateUIMessages` takes them; none if there is no chat. */
  loadChat<T extends UIMessageLike = UIMessageLike>(id: string, options?: { last?: number }): Promise<T[]>;
  /** Keep these messages as the whole chat, in one step: for `onFinish`. Needs the scopes `write` and `delete`. */
  saveChat<T extends UIMessageLike>(chat: { id: string; messages: T[]; channel?: string }): Promise<Appended>;
  /** Store messages at the end of a chat. */
  addToChat<T extends UIMessageLike>(id: string, messages: T[]): Promise<Appended>;

  token(): Promise<{ scopes: string[]; prefix: string; [more: string]: Json }>;
  export(session: string, options?: { format?: string; log?: boolean }): Promise<string>;
  /** Yield changes as they happen, over lost connections too; `after` is the id of the last one that you know. */
  events(options?: { after?: string; signal?: AbortSignal }): AsyncGenerator<Change>;
}
