// What changes on the server, while somebody looks: a hidden tab holds no connection.

import * as api from "./api.js";

const PAUSE_MS = 2000;

/** Tells `tell(name, data)` of every change from now on; "again" means: read anew what is shown. */
export function follow(tell) {
  let lastId = null;
  let reading = null;

  async function read() {
    reading = new AbortController();
    const { signal } = reading;
    while (!signal.aborted) {
      try {
        for await (const [name, data, id] of api.followEvents(lastId, signal)) {
          lastId = id;
          if (name === "reset") tell("again", {});
          else if (name !== "ready") tell(name, data);
        }
      } catch (error) {
        if (error.status === 401) return tell("signed out", {});
        if (error.status === 422) lastId = null;
      }
      await new Promise((done) => setTimeout(done, PAUSE_MS));
    }
  }

  document.addEventListener("visibilitychange", () => {
    reading?.abort();
    if (!document.hidden) read();
  });
  if (!document.hidden) read();
}
