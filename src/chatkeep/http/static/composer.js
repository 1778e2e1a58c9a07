// Where one goes on with a session, or begins one, when the server has a model. Answers come piece by piece.

import { html, useEffect, useLayoutEffect, useRef, useState } from "./vendor/preact.js";
import * as api from "./api.js";
import { icon } from "./icons.js";
import { rendered } from "./markdown.js";
import { go, sessionLink } from "./routes.js";

let asked = null; // what the server says of its models, asked until it has some

const models = () =>
  (asked ??= api.listModels().then(
    (answer) => ({ names: (answer.data ?? []).map((model) => model.id) }),
    (problem) => {
      asked = null; // it may be there next time
      return { problem };
    },
  ));

/** What the server says of its models: null while it is asked, then `names` or a `problem`. */
function useModels() {
  const [known, setKnown] = useState(null);
  useEffect(() => void models().then(setKnown), []);
  return known;
}

/** The place to write in. Without a session a new one is made, and opened. */
export function Composer({ session, follow }) {
  const known = useModels();
  const [answer, setAnswer] = useState(null);
  const [problem, setProblem] = useState(null);
  const [model, setModel] = useState("");
  const answering = useRef(null);
  useEffect(() => () => answering.current?.abort(), [session]);
  if (!known) return null;
  if (known.problem) return session ? null : html`<p class="nothing">${whyNot(known.problem)}</p>`;
  const send = async (event) => {
    event.preventDefault();
    const field = event.target.elements.message;
    const message = field.value.trim();
    if (!message || answering.current) return;
    field.value = "";
    setProblem(null);
    setAnswer("");
    answering.current = new AbortController();
    try {
      await listen(session, message, model, answering.current.signal, setAnswer, follow);
    } catch (error) {
      if (error.name !== "AbortError") setProblem(error.message);
      if (!field.value && error.status) field.value = message;
    } finally {
      answering.current = null;
      setAnswer(null);
      follow?.();
    }
  };
  const keys = (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    event.target.form.requestSubmit();
  };
  return html`
    <div class="composer">
      ${answer !== null && html`<${Answer} text=${answer} />`}
      ${problem && html`<p class="warning" role="alert">${problem}</p>`}
      <form onSubmit=${send}>
        <textarea name="message" rows="2" maxlength="100000" dir="auto" aria-label="Message" placeholder="Write a message" onKeyDown=${keys} autofocus=${!session}></textarea>
        ${known.names.length > 1 &&
        html`<select aria-label="Model" value=${model} onChange=${(event) => setModel(event.target.value)}>
          <option value="">Model</option>
          ${known.names.map((name) => html`<option value=${name}>${name}</option>`)}
        </select>`}
        ${answer === null
          ? html`<button class="strong" aria-label="Send">${icon("send")}</button>`
          : html`<button type="button" aria-label="Stop" onClick=${() => answering.current?.abort()}>${icon("stop")}</button>`}
      </form>
    </div>
  `;
}

/** Sends a message and hands over the answer as it grows. A new session is opened when the answer is whole. */
async function listen(session, message, model, signal, hear, follow) {
  let text = "";
  let key = session;
  const body = { message, ...(session && { session_key: session }), ...(model && { model }) };
  for await (const [name, data] of api.chat(body, signal)) {
    if (name === "start") {
      key = data.session_key;
      follow?.();
    } else if (name === "token") hear((text += data.text));
    else if (name === "error") throw new Error(data.detail);
  }
  if (!session && key) go(sessionLink(key));
}

function Answer({ text }) {
  const box = useRef();
  useLayoutEffect(() => {
    box.current.replaceChildren(rendered(text));
    box.current.scrollTop = box.current.scrollHeight;
  }, [text]);
  return html`<div class="answer text" aria-live="polite" aria-busy="true" dir="auto" ref=${box}></div>`;
}

function whyNot(problem) {
  return problem.status === 404 ? "This server does not chat." : problem.message;
}
