// How one comes in: by the link that the server printed, or with a token.

import { html, useState } from "./vendor/preact.js";
import * as api from "./api.js";

/** Spends the code in the address, if there is one; returns why that failed, or null. */
export async function spendCode() {
  const code = /^#code=([\w-]+)$/.exec(location.hash)?.[1];
  if (!code) return null;
  history.replaceState(null, "", "#/");
  dispatchEvent(new HashChangeEvent("hashchange"));
  try {
    await api.signIn({ code });
    return null;
  } catch (error) {
    return error.status === 401 ? "This link has been used, or its hour is over. Start the server again for a new one, or use a token." : error.message;
  }
}

export function SignIn({ reason, enter }) {
  const [problem, setProblem] = useState(reason);
  const submit = async (event) => {
    event.preventDefault();
    const token = new FormData(event.target).get("token").trim();
    if (!token) return setProblem("Paste a token first.");
    try {
      await api.signIn({ token });
      enter();
    } catch (error) {
      setProblem(error.status === 401 ? "The server does not know this token, or it has expired." : error.message);
    }
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
