// Signing in: by a link that the server printed, or with a token.

import { codeIn, signIn } from "../state/sign-in.js";
import { words } from "../text/words.js";
import { html, useState } from "../vendor/preact.js";

/** @param {{ reason: string | null, enter: () => void }} props `reason` says why the link did not work */
export function SignIn({ reason, enter }) {
  const [problem, setProblem] = useState(reason);
  const submit = async (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    const token = String(new FormData(/** @type {HTMLFormElement} */ (event.target)).get("token")).trim();
    const code = codeIn(token); // the whole link, pasted here
    const refusal = token ? await signIn(code ? { code } : { token }) : words.pasteFirst;
    if (refusal) setProblem(refusal);
    else enter();
  };
  const coded = (/** @type {string[]} */ pieces) => pieces.map((piece, nth) => (nth % 2 ? html`<code>${piece}</code>` : piece));
  return html`
    <main class="sign-in">
      <form onSubmit=${submit}>
        <h1>Chatkeep</h1>
        <p>${coded(words.signInLink)}</p>
        <p>${coded(words.signInToken)}</p>
        <label>${words.token}<input name="token" type="password" autocomplete="current-password" spellcheck=${false} placeholder="ck_…" autofocus /></label>
        ${problem && html`<p class="warning" role="alert">${problem}</p>`}
        <button class="strong">${words.signIn}</button>
        <p class="aside">${words.staysSignedIn}</p>
      </form>
    </main>
  `;
}
