// An answer that comes now, piece by piece, drawn as the message that it will be.

import { draw } from "../text/rendering.js";
import { words } from "../text/words.js";
import { html, useEffect, useLayoutEffect, useRef } from "../vendor/preact.js";
import { Reasoning } from "./message.js";

/** @template T @typedef {import("../vendor/preact.js").Ref<T>} Ref */

/**
 * The answer so far. Screen readers announce its begin and its end, not every piece.
 * @param {{ turn: { answer: { text: string, reasoning: string, ms: number | null } }, seq: number }} props
 */
export function GrowingAnswer({ turn, seq }) {
  const { text, reasoning, ms } = turn.answer;
  /** @type {Ref<HTMLDivElement>} */
  const box = useRef();
  const pace = useRef(new Pace());
  useLayoutEffect(() => pace.current.take(() => void draw(box.current, text, { isGrowing: true })), [text]);
  useEffect(() => () => pace.current.end(), []);
  return html`
    <div class="message assistant growing" data-seq=${seq}>
      <header><span class="role">${words.roles.assistant}</span></header>
      ${reasoning && html`<${Reasoning} text=${reasoning} isGrowing=${!text} ms=${ms} />`}
      <div class="answer text" role="log" aria-live="off" aria-label=${words.answer} aria-busy="true" dir="auto" ref=${box}></div>
    </div>
  `;
}

/** Draws what grows so seldom that drawing takes at most a quarter of the time, however long it has become. */
class Pace {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer = undefined;
  #free = 0; // when drawing is due again

  /** @param {() => void} work */
  take(work) {
    clearTimeout(this.#timer);
    const run = () => {
      const begun = performance.now();
      work();
      this.#free = performance.now() + 3 * (performance.now() - begun);
    };
    const wait = this.#free - performance.now();
    if (wait <= 0) run();
    else this.#timer = setTimeout(run, wait);
  }

  end() {
    clearTimeout(this.#timer);
  }
}
