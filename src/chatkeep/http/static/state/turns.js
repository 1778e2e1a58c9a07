// Turns that a model answers now, by session. They go on while the reader looks elsewhere.

import { partedSoFar } from "../text/reasoning.js";
import { words } from "../text/words.js";
import * as api from "../wire/api.js";
import { announcer } from "./announcer.js";
import { Observable } from "./observable.js";
import { go, route, sessionLink } from "./route.js";

class Turns extends Observable {
  /** @type {Map<string | null, Turn>} */
  #all = new Map();
  #isDue = false;
  /** @type {Map<string | null, string>} */
  #models = new Map(); // that the reader has chosen for sessions

  /**
   * Returns the model that answers in a session; "" is the usual one.
   * @param {string | null} key
   */
  modelOf(key) {
    return this.#models.get(key) ?? "";
  }

  /**
   * @param {string | null} key
   * @param {string} model
   */
  choose(key, model) {
    this.#models.set(key, model);
    this.changed();
  }

  /**
   * Returns the turn of a session, or with null the one whose session has no key yet.
   * @param {string | null} key
   */
  of(key) {
    return this.#all.get(key);
  }

  /**
   * Says something to the model. Without a key a new session begins; without a model the usual one answers.
   * @param {string | null} key
   * @param {string} message
   * @param {string} model
   */
  begin(key, message, model) {
    const turn = new Turn(key, message, model);
    this.#all.set(key, turn);
    this.changed();
    turn.run();
  }

  /**
   * Puts a new session's turn under its key, and opens the session where the reader waits for it.
   * @param {Turn} turn
   * @param {string} key
   */
  name(turn, key) {
    this.#all.delete(turn.key);
    turn.key = key;
    this.#all.set(key, turn);
    this.#models.set(key, this.modelOf(null));
    this.#models.delete(null);
    if (route.screen === "new") go(sessionLink(key), { replace: true });
  }

  /**
   * Lets an answer go that is stored; what went wrong stays to be read.
   * @param {Turn} turn
   */
  close(turn) {
    turn.text = null;
    if (!turn.problem && this.#all.get(turn.key) === turn) this.#all.delete(turn.key);
    this.changed();
  }

  /** Draws what grows no more often than the screen is. */
  grown() {
    if (this.#isDue) return;
    this.#isDue = true;
    requestAnimationFrame(() => {
      this.#isDue = false;
      this.changed();
    });
  }
}

class Turn {
  /** @type {string | null} */
  text = ""; // what came so far, null when it is stored
  reasoning = ""; // what came beside it
  /** @type {number | null} */
  #thoughtAt = null;
  /** @type {number | null} */
  reasoningMs = null; // how long the model has thought, when it has
  /** @type {string | null} */
  problem = null;
  /** @type {string | null} */
  unsent = null; // the message, when the server did not take it
  isAnswering = true;
  #isStopped = false;
  #answering = new AbortController();

  /**
   * @param {string | null} key
   * @param {string} message
   * @param {string} model
   */
  constructor(key, message, model) {
    this.key = key;
    /** @type {api.Said} */
    this.body = { message, ...(key && { session_key: key }), ...(model && { model }) };
  }

  /** The answer so far, and the reasoning before it. */
  get answer() {
    const { text, reasoning } = partedSoFar(this.text ?? "");
    return { text, reasoning: this.reasoning || reasoning, ms: this.reasoningMs };
  }

  /** @param {string} words of the answer */
  #hear(words) {
    if (this.#thoughtAt !== null) this.reasoningMs ??= performance.now() - this.#thoughtAt;
    this.text += words;
  }

  /** @param {string} words of the reasoning */
  #think(words) {
    if (!this.text) this.#thoughtAt ??= performance.now();
    this.reasoning += words;
  }

  stop() {
    this.#isStopped = true;
    this.#answering.abort();
  }

  async run() {
    let isTaken = false;
    try {
      for await (const [name, data] of api.chat(this.body, this.#answering.signal)) {
        if (name === "start") {
          isTaken = true;
          announcer.say(words.modelAnswers);
        }
        if (name === "start" && !this.key) turns.name(this, String(data.session_key));
        else if (name === "token") this.#hear(String(data.text));
        else if (name === "reasoning") this.#think(String(data.text));
        else if (name === "error") this.problem = String(data.detail);
        turns.grown();
      }
    } catch (error) {
      if (!this.#isStopped) this.problem = api.problemOf(error).message;
      if (!isTaken) this.unsent = this.body.message;
    }
    this.isAnswering = false;
    if (!this.problem) announcer.say(this.#isStopped ? words.answerStopped : words.answerComplete); // a problem is an alert
    turns.changed();
  }
}

export const turns = new Turns();
