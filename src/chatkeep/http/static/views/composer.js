// The place to go on with a session, or begin one, when the server has a model. Answers come piece by piece.

import { modelNames } from "../state/status.js";
import { turns } from "../state/turns.js";
import { draw } from "../text/rendering.js";
import { html, useEffect, useLayoutEffect, useRef, useState } from "../vendor/preact.js";
import { useObserved } from "./hooks.js";
import { icon } from "./icons.js";
import { Reasoning } from "./message.js";

/** @template T @typedef {import("../vendor/preact.js").Ref<T>} Ref */
/** @typedef {import("../vendor/preact.js").TemplateEvent} TemplateEvent */

/**
 * The place to write in. Without a session a new one begins, and opens. `hasModel` is null until it is known; `follow`
 * reads what was appended.
 * @param {{ session?: string | null, hasModel: boolean | null, follow?: () => Promise<void> }} props
 */
export function Composer({ session = null, hasModel, follow }) {
  useObserved(turns);
  const [names, setNames] = useState(/** @type {string[]} */ ([]));
  const [model, setModel] = useState("");
  /** @type {Ref<HTMLTextAreaElement | null>} */
  const field = useRef();
  const turn = turns.of(session);
  useEffect(() => void (session || field.current?.focus()), [hasModel]);
  useEffect(() => void (hasModel && modelNames().then(setNames)), [hasModel]);
  useEffect(() => {
    if (turn && !turn.isAnswering) Promise.resolve(follow?.()).then(() => turns.close(turn));
  }, [turn?.isAnswering]);
  useEffect(() => {
    if (turn?.unsent && field.current && !field.current.value) field.current.value = turn.unsent;
  }, [turn?.unsent]);
  if (!hasModel) return session || hasModel === null ? null : html`<${NoModel} />`;
  const send = (/** @type {Event} */ event) => {
    event.preventDefault();
    const message = field.current?.value.trim();
    if (!field.current || !message || turn?.isAnswering) return;
    field.current.value = "";
    turns.begin(session, message, model);
  };
  const steer = (/** @type {TemplateEvent} */ event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    event.target.form.requestSubmit();
  };
  return html`
    <div class="composer">
      ${turn && turn.text !== null && html`<${Answer} ...${turn.answer} />`}
      ${turn?.problem && html`<p class="warning" role="alert">${turn.problem}</p>`}
      <form onSubmit=${send}>
        <textarea ref=${field} rows="2" maxlength="100000" dir="auto" aria-label="Message" placeholder="Write a message" onKeyDown=${steer}></textarea>
        ${names.length > 1 &&
        html`<select aria-label="Model" value=${model} onChange=${(/** @type {TemplateEvent} */ event) => setModel(event.target.value)}>
          <option value="">Usual model</option>
          ${names.map((name) => html`<option value=${name}>${name}</option>`)}
        </select>`}
        ${turn?.isAnswering
          ? html`<button type="button" aria-label="Stop" onClick=${() => turn.stop()}>${icon("stop")}</button>`
          : html`<button class="strong" aria-label="Send">${icon("send")}</button>`}
      </form>
    </div>
  `;
}

/**
 * The answer so far. Screen readers announce its begin and its end, not every piece.
 * @param {{ text: string, reasoning: string, ms: number | null }} props
 */
function Answer({ text, reasoning, ms }) {
  /** @type {Ref<HTMLDivElement>} */
  const box = useRef();
  const pace = useRef(new Pace());
  useLayoutEffect(() => pace.current.take(() => {
    draw(box.current, text, { isGrowing: true });
    box.current.scrollTop = box.current.scrollHeight;
  }), [text]);
  useEffect(() => () => pace.current.end(), []);
  return html`
    ${reasoning && html`<${Reasoning} text=${reasoning} isGrowing=${!text} ms=${ms} />`}
    <div class="answer text" role="log" aria-live="off" aria-label="Answer" aria-busy="true" dir="auto" ref=${box}></div>
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

function NoModel() {
  return html`
    <div class="nothing">
      <p>No model is configured, so there is nobody to talk to.</p>
      <p>
        Set <code>model_url</code> and <code>model</code> in <code>chatkeep.toml</code>, or <code>CHATKEEP_MODEL_URL</code> and
        ${" "}<code>CHATKEEP_MODEL</code>, to any server that speaks OpenAI's API, and start <code>chatkeep serve</code> again.
      </p>
    </div>
  `;
}
