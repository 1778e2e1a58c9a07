// What lies on what: Escape closes the topmost alone. And what a key asks of the part of the page that is shown.

/** @typedef {() => void} Close */

class Layers {
  /** @type {Close[]} */
  #open = [];
  /** @type {Map<string, Close>} */
  #answers = new Map();

  /**
   * Adds a layer; returns a function that takes it away.
   * @param {Close} close
   */
  add(close) {
    this.#open.push(close);
    return () => void (this.#open = this.#open.filter((one) => one !== close));
  }

  /** Closes the topmost layer; returns whether there was one. */
  close() {
    const last = this.#open.at(-1);
    last?.();
    return last !== undefined;
  }

  /**
   * Answers to a name until the function that this returns is called.
   * @param {string} name
   * @param {Close} act
   */
  answer(name, act) {
    this.#answers.set(name, act);
    return () => void (this.#answers.get(name) === act && this.#answers.delete(name));
  }

  /** @param {string} name */
  ask(name) {
    this.#answers.get(name)?.();
  }
}

export const layers = new Layers();
