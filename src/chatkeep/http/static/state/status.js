// The state of the server: its totals, its channels, and whether it has a model.

import * as api from "../wire/api.js";
import { Observable } from "./observable.js";

class ServerStatus extends Observable {
  /** @type {api.Status | null} */
  known = null;

  /** Asks anew; an answer that comes after the next question is left aside. Returns a function that calls it off. */
  load() {
    const asking = new AbortController();
    api.status(asking.signal).then(
      (known) => {
        if (asking.signal.aborted) return;
        this.known = known;
        this.changed();
      },
      () => {}, // the list says why the server does not answer
    );
    return () => asking.abort();
  }
}

export const serverStatus = new ServerStatus();

/** @type {Promise<string[]> | null} */
let asked = null; // once

/** Returns the names of the models that the server offers. */
export function modelNames() {
  asked ??= api.listModels().then(
    (answer) => (answer.data ?? []).map((model) => model.id),
    () => {
      asked = null; // the server may name them next time
      return [];
    },
  );
  return asked;
}
