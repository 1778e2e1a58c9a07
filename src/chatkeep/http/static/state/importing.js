// Import of files, one after another. The server merges by the ids of messages, and overwrites nothing.

import { words } from "../text/words.js";
import * as api from "../wire/api.js";
import { counts } from "./counts.js";
import { sessions } from "./sessions.js";
import { serverStatus } from "./status.js";

const BYTES_MAX = 64 * 1024 ** 2; // as the server takes

/** @typedef {{ report?: api.ImportReport, problem?: string, flaws: api.ImportFlaw[] }} Outcome */
/** @typedef {Outcome & { name: string }} Taken what came of a file */

/**
 * Imports files; tells of each what came of it.
 * @param {File[]} files
 * @param {(taken: Taken) => void} tell
 */
export async function takeFiles(files, tell) {
  for (const file of files) tell({ name: file.name, ...(await taken(file)) });
  sessions.refresh();
  serverStatus.load();
  counts.again();
}

/**
 * @param {File} file
 * @returns {Promise<Outcome>}
 */
async function taken(file) {
  if (file.size > BYTES_MAX) return { problem: words.importTooLarge, flaws: [] };
  try {
    const report = await api.importSessions(file, /\.(jsonl|ndjson)$/i.test(file.name) ? "jsonl" : "json");
    return { report, flaws: report.errors };
  } catch (error) {
    const { message, flaws } = api.problemOf(error);
    return { problem: message, flaws };
  }
}
