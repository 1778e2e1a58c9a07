// Signing in: by a link that the server printed, or with a token.

import { words } from "../text/words.js";
import * as api from "../wire/api.js";
import { forgetDrafts } from "./drafts.js";

/**
 * Signs in with a code or a token; returns why the server refused, or null.
 * @param {{ code: string } | { token: string }} credential
 */
export async function signIn(credential) {
  try {
    await api.openPageSession(credential);
    return null;
  } catch (error) {
    const problem = api.problemOf(error);
    if (problem.status !== 401) return problem.message;
    return "code" in credential ? words.linkSpent : words.tokenUnknown;
  }
}

/** Signs in with the code in the address; returns why that failed, or null, and undefined where there is no code. */
export async function spendCode() {
  const code = codeIn(location.hash);
  if (!code) return undefined;
  history.replaceState(null, "", "#/");
  dispatchEvent(new HashChangeEvent("hashchange"));
  return signIn({ code });
}

/**
 * Returns the code of a sign-in link, in a whole address or in its end; null where there is none.
 * @param {string} text
 */
export const codeIn = (text) => /#code=([\w-]+)\s*$/.exec(text)?.[1] ?? null;

/** Signs out; what was written and not sent is forgotten. */
export async function signOut() {
  await api.closePageSession();
  forgetDrafts();
}
