// Signing in: by the link that the server printed, or with a token.

import { signIn } from "../state/sign-in.js";
import { html, useState } from "../vendor/preact.js";

/** @param {{ reason: string | null, enter: () => void }} props `reason` says why the link did not work */
export function SignIn({ reason, enter }) {
  const [problem, setProblem] = useState(reason);
  const submit = async (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    const token = String(new FormData(/** @type {HTMLFormElement} */ (event.target)).get("token")).trim();
    const refusal = token ? await signIn({ token }) : "Paste a token first.";
    if (refusal) setProblem(refusal);
    else enter();
  };
  return html`
    <main class="sign-in">
      <form onSubmit=${submit}>
        <h1>Chatkeep</h1>
        <p>Open the link that <code>chatkeep serve</code> printed when it started. It signs this browser in, once.</p>
        <p>Or paste a token; <code>chatkeep token create --scope admin</code> makes one.</p>
        <label>Token<input name="token" type="password" autocomplete="current-password" spellcheck=${false} placeholder="ck_…" autofocus /></label>
        ${problem && html`<p class="warning" role="alert">${problem}</p>`}
        <button class="strong">Sign in</button>
        <p class="aside">The browser stays signed in for 30 days, unless about a week passes without a visit, or until you sign out. It does not keep the token.</p>
      </form>
    </main>
  `;
}
