// What changes on the server, while somebody looks: a hidden tab holds no connection.

import * as api from "./api.js";

const PAUSE_MS = 2000;

/** Tells `tell(name, data)` of every change; "again" means: read anew what is shown. Returns what ends it. */
export function follow(tell) {
  let lastId = null;
  let reading = null;

  async function read() {
    reading = new AbortController();
    const { signal } = reading;
    while (!signal.aborted) {
      try {
        for await (const [name, data, id] of api.followEvents(lastId, signal)) {
          const isFresh = lastId === null; // nobody has told what happened since the list was read
          lastId = id;
          if (name === "reset" || (name === "ready" && isFresh)) tell("again", {});
          else if (name !== "ready") tell(name, data);
        }
      } catch (error) {
        if (error.status === 401) return tell("signed out", {});
        if (error.status === 422) lastId = null;
      }
      await new Promise((done) => setTimeout(done, PAUSE_MS));
    }
  }

  const look = () => {
    reading?.abort();
    if (!document.hidden) read();
  };
  document.addEventListener("visibilitychange", look);
  look();
  return () => {
    document.removeEventListener("visibilitychange", look);
    reading?.abort();
  };
}
