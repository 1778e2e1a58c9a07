// Where one goes on with a session, or begins one, when the server has a model. Answers come piece by piece.

import { html, useEffect, useLayoutEffect, useRef, useState } from "./vendor/preact.js";
import * as api from "./api.js";
import { icon } from "./icons.js";
import { rendered } from "./markdown.js";
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
      ${turn && turn.text !== null && html`<${Answer} text=${turn.text} />`}
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

function Answer({ text }) {
  const box = useRef();
  useLayoutEffect(() => {
    box.current.replaceChildren(rendered(text, { isGrowing: true }));
    box.current.scrollTop = box.current.scrollHeight;
  }, [text]);
  return html`<div class="answer text" role="log" aria-label="Answer" aria-busy="true" dir="auto" ref=${box}></div>`;
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
