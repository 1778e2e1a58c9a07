// What changes, and who is told of it: a model calls changed(), components that use it are drawn again.

import { useEffect, useReducer } from "./vendor/preact.js";

export class Model {
  #listeners = new Set();
  version = 0;

  changed() {
    this.version++;
    for (const listener of this.#listeners) listener();
  }

  listen(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

/** Draws the component again whenever the model has changed. */
export function useModel(model) {
  const [, again] = useReducer((count) => count + 1, 0);
  const drawn = model.version;
  useEffect(() => {
    const end = model.listen(again);
    if (model.version !== drawn) again(); // it changed before anybody listened
    return end;
  }, [model]);
  return model;
}

/** Whether a media query holds, as long as the component lives. */
export function useMedia(query) {
  const media = matchMedia(query);
  const [, again] = useReducer((count) => count + 1, 0);
  useEffect(() => {
    media.addEventListener("change", again);
    return () => media.removeEventListener("change", again);
  }, [query]);
  return media.matches;
}
