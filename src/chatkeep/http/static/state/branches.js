// The branches of the open session: where it and its forks part, and the way from each to the others.

import { fieldsOf } from "../text/messages.js";
import * as api from "../wire/api.js";
import { Observable } from "./observable.js";
import { notices } from "./notices.js";
import { go, sessionLink } from "./route.js";
import { turns } from "./turns.js";

/** @typedef {{ key: string, seq: number }} Branch a session, and the place of its first message behind the parting */
/** @typedef {{ after: number, branches: Branch[] }} Parting behind a message of the open session; 0 is its beginning */
/** @typedef {{ key: string, seq: number, copied: number }} Origin its key, its last common seq, and how many lines are common */
/** @typedef {{ origin: Origin | null, forks: Origin[] }} Relations of a session; the key of a fork is its own */
/** @typedef {(key: string) => Promise<Relations>} Ask */

const FORKS_MAX = 100; // of one session
const ASKED_MAX = 64; // sessions of one family whose forks are looked up

class Branches extends Observable {
  /** @type {string | null} */
  #key = null;
  /** @type {Parting[]} */
  #partings = [];

  /**
   * Returns the parting between two messages that stand side by side.
   * @param {number} before
   * @param {number} seq
   */
  between(before, seq) {
    return this.#partings.find(({ after }) => before <= after && after < seq);
  }

  /**
   * Reads where a session parts from others. Of another one nothing is known until then.
   * @param {string} key
   */
  async load(key) {
    if (key !== this.#key) this.#take(key, []);
    const found = await partingsOf(key).catch(() => null); // whoever reads its messages says why not
    if (found && key === this.#key && (found.length || this.#partings.length)) this.#take(key, found);
  }

  /**
   * Asks again in a fork of a session, which begins with what stood before the question; the fork opens.
   * @param {string} session
   * @param {number} seq of the question
   * @param {string} text
   */
  async ask(session, seq, text) {
    const fork = await this.fork(session, seq - 1);
    if (fork) turns.begin(fork, text, turns.modelOf(session));
    return fork !== null;
  }

  /**
   * Begins a session with what stands of another one up to a message, and opens it; returns its key.
   * @param {string} session
   * @param {number} seq
   */
  async fork(session, seq) {
    try {
      const { key } = await api.forkSession({ session, seq });
      go(sessionLink(key));
      return key;
    } catch (error) {
      notices.complain(error);
      return null;
    }
  }

  /**
   * @param {string} key
   * @param {Parting[]} partings
   */
  #take(key, partings) {
    this.#key = key;
    this.#partings = partings;
    this.changed();
  }
}

/**
 * Returns all partings of a session: from its origin, and from its own forks.
 * @param {string} key
 */
async function partingsOf(key) {
  const ask = relations();
  const { origin, forks } = await ask(key);
  const places = new Set([...forks.map((fork) => fork.seq), ...(origin ? [origin.copied] : [])]);
  return Promise.all([...places].map(async (after) => ({ after, branches: await familyOf(key, after, ask) })));
}

/**
 * Returns the sessions that part at one place, oldest first. A fork of a fork belongs to them if it parts there, too.
 * @param {string} key
 * @param {number} after how many lines of the session are common
 * @param {Ask} ask
 * @returns {Promise<Branch[]>}
 */
async function familyOf(key, after, ask) {
  /** @type {Map<string, number>} */
  const known = new Map([[key, after]]);
  /** @type {string | null} */
  let first = null;
  for (const [member, common] of known) {
    if (known.size > ASKED_MAX) break;
    const { origin, forks } = await ask(member);
    for (const fork of forks) if (fork.seq === common) known.set(fork.key, fork.copied);
    if (origin?.copied !== common) first = member;
    else if (!known.has(origin.key) && (await ask(origin.key).catch(() => null))) known.set(origin.key, origin.seq);
  }
  const found = await Promise.all([...known].map(([one, common]) => branchOf(one, common, one === first)));
  return found.sort((one, other) => (one.begun < other.begun ? -1 : Number(one.begun > other.begun)));
}

/**
 * Returns a function that asks for the origin and the forks of a session, once for each.
 * @returns {Ask}
 */
function relations() {
  /** @type {Map<string, Promise<Relations>>} */
  const asked = new Map();
  return (key) => {
    const known = asked.get(key);
    if (known) return known;
    const asking = Promise.all([api.getSession(key), forksOf(key)]).then(([{ metadata }, forks]) => ({ origin: originIn(metadata), forks }));
    asked.set(key, asking);
    return asking;
  };
}

/**
 * Returns a branch with the time of its first own message; the origin of all is the first, one without messages the last.
 * @param {string} key
 * @param {number} common
 * @param {boolean} isFirst
 */
async function branchOf(key, common, isFirst) {
  const { messages } = await api.readMessages({ session: key, after: common, limit: 1 });
  return { key, seq: common + 1, begun: isFirst ? "" : (messages[0]?.timestamp ?? "~") };
}

/** @param {string} key */
async function forksOf(key) {
  const query = { "meta.forked_from.session": key, metadata: "true", archived: "all", limit: FORKS_MAX };
  const { sessions } = await api.listSessions(query);
  return sessions.flatMap((row) => {
    const origin = originIn(fieldsOf(row).metadata);
    return origin ? [{ ...origin, key: row.id }] : [];
  });
}

/**
 * Returns the origin that a session's metadata names, if any.
 * @param {unknown} metadata
 * @returns {Origin | null}
 */
function originIn(metadata) {
  const { session, seq, copied = seq } = fieldsOf(fieldsOf(metadata).forked_from);
  const isOne = typeof session === "string" && Number.isSafeInteger(seq) && Number.isSafeInteger(copied);
  return isOne ? { key: session, seq: Number(seq), copied: Number(copied) } : null;
}

export const branches = new Branches();
