// Signing in: by the link that the server printed, or with a token.

import * as api from "../wire/api.js";

const SPENT = "This link has been used, or its hour is over. Start the server again for a new one, or use a token.";
const UNKNOWN = "The server does not know this token, or it has expired.";

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
    return "code" in credential ? SPENT : UNKNOWN;
  }
}

/** Signs in with the code in the address, if there is one; returns why that failed, or null. */
export async function spendCode() {
  const code = /^#code=([\w-]+)$/.exec(location.hash)?.[1];
  if (!code) return null;
  history.replaceState(null, "", "#/");
  dispatchEvent(new HashChangeEvent("hashchange"));
  return signIn({ code });
}

export const signOut = () => api.closePageSession();
