// Where one goes on with a session, or begins one, when the server has a model. Answers come piece by piece.

import { html, useEffect, useLayoutEffect, useRef, useState } from "./vendor/preact.js";
import * as api from "./api.js";
import { draw } from "./drawing.js";
import { icon } from "./icons.js";
import { Reasoning } from "./message.js";
import { useModel } from "./model.js";
import { turns } from "./turns.js";

let asked = null; // the names of the models, asked once

const models = () =>
  (asked ??= api.listModels().then(
    (answer) => (answer.data ?? []).map((model) => model.id),
    () => {
      asked = null; // they may be told next time
      return [];
    },
  ));

/** The place to write in. Without a session a new one is made, and opened. `hasModel` is null until it is known. */
export function Composer({ session = null, hasModel, follow }) {
  useModel(turns);
  const [names, setNames] = useState([]);
  const [model, setModel] = useState("");
  const field = useRef();
  const turn = turns.of(session);
  useEffect(() => void (session || field.current?.focus()), [hasModel]);
  useEffect(() => void (hasModel && models().then(setNames)), [hasModel]);
  useEffect(() => {
    if (turn && !turn.isAnswering) Promise.resolve(follow?.()).then(() => turns.close(turn));
  }, [turn?.isAnswering]);
  useEffect(() => {
    if (turn?.unsent && !field.current.value) field.current.value = turn.unsent;
  }, [turn?.unsent]);
  if (!hasModel) return session || hasModel === null ? null : html`<${NoModel} />`;
  const send = (event) => {
    event.preventDefault();
    const message = field.current.value.trim();
    if (!message || turn?.isAnswering) return;
    field.current.value = "";
    turns.begin(session, message, model);
  };
  const keys = (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    event.target.form.requestSubmit();
  };
  return html`
    <div class="composer">
      ${turn && turn.text !== null && html`<${Answer} ...${turn.answer} />`}
      ${turn?.problem && html`<p class="warning" role="alert">${turn.problem}</p>`}
      <form onSubmit=${send}>
        <textarea ref=${field} rows="2" maxlength="100000" dir="auto" aria-label="Message" placeholder="Write a message" onKeyDown=${keys}></textarea>
        ${names.length > 1 &&
        html`<select aria-label="Model" value=${model} onChange=${(event) => setModel(event.target.value)}>
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

/** The answer so far. Screen readers are told when it begins and ends, not of every piece. */
function Answer({ text, reasoning }) {
  const box = useRef();
  const pace = useRef(new Pace());
  useLayoutEffect(() => pace.current.take(() => {
    draw(box.current, text, { isGrowing: true });
    box.current.scrollTop = box.current.scrollHeight;
  }), [text]);
  useEffect(() => () => pace.current.end(), []);
  return html`
    ${reasoning && html`<${Reasoning} text=${reasoning} isGrowing=${!text} />`}
    <div class="answer text" role="log" aria-live="off" aria-label="Answer" aria-busy="true" dir="auto" ref=${box}></div>
  `;
}

/** Draws what grows so seldom that drawing takes at most a quarter of the time, however long it has become. */
class Pace {
  #timer = null;
  #free = 0; // when drawing is due again

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
