// State that components draw: it says when it has changed, and they draw themselves again.

export class Observable {
  /** @type {Set<() => void>} */
  #listeners = new Set();
  version = 0;

  changed() {
    this.version++;
    for (const listener of this.#listeners) listener();
  }

  /**
   * Calls a function after every change, until the function that this returns is called.
   * @param {() => void} listener
   */
  listen(listener) {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }
}
