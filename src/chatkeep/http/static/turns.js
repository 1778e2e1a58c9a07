// What was said to the model and is being answered, by session. It goes on while the reader looks elsewhere.

import { announcer } from "./announcing.js";
import * as api from "./api.js";
import { Model } from "./model.js";
import { partedSoFar } from "./reasoning.js";
import { go, place, sessionLink } from "./routes.js";

class Turns extends Model {
  #all = new Map();
  #isDue = false;

  /** The turn of a session, or with null the one whose session has no key yet. */
  of(key) {
    return this.#all.get(key);
  }

  begin(key, message, model) {
    const turn = new Turn(key, message, model);
    this.#all.set(key, turn);
    this.changed();
    turn.run();
  }

  /** Puts a new session's turn under its key, and opens the session where it was waited for. */
  name(turn, key) {
    this.#all.delete(turn.key);
    turn.key = key;
    this.#all.set(key, turn);
    if (place.screen === "new") go(sessionLink(key), { replace: true });
  }

  /** Lets an answer go that is stored; what went wrong stays to be read. */
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
  text = ""; // what came so far, null when it is stored
  reasoning = ""; // what came beside it
  problem = null;
  unsent = null; // the message, when the server did not take it
  isAnswering = true;
  #isStopped = false;
  #answering = new AbortController();

  constructor(key, message, model) {
    this.key = key;
    this.body = { message, ...(key && { session_key: key }), ...(model && { model }) };
  }

  /** The answer so far, and what was thought before it. */
  get answer() {
    const { text, reasoning } = partedSoFar(this.text);
    return { text, reasoning: this.reasoning || reasoning };
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
          announcer.say("The model answers.");
        }
        if (name === "start" && !this.key) turns.name(this, data.session_key);
        else if (name === "token") this.text += data.text;
        else if (name === "reasoning") this.reasoning += data.text;
        else if (name === "error") this.problem = data.detail;
        turns.grown();
      }
    } catch (error) {
      if (error.name !== "AbortError") this.problem = error.message;
      if (!isTaken) this.unsent = this.body.message;
    }
    this.isAnswering = false;
    if (!this.problem) announcer.say(this.#isStopped ? "Answer stopped." : "Answer complete."); // a problem is told as an alert
    turns.changed();
  }
}

export const turns = new Turns();
