// Import of files, one after another. The server merges by the ids of messages, and overwrites nothing.

import { words } from "../text/words.js";
import * as api from "../wire/api.js";
import { sessions } from "./sessions.js";

const BYTES_MAX = 64 * 1024 ** 2; // as the server takes

/** @typedef {{ name: string, report?: api.ImportReport, problem?: string }} Taken what came of a file */

/**
 * Imports files; tells of each what came of it.
 * @param {File[]} files
 * @param {(taken: Taken) => void} tell
 */
export async function takeFiles(files, tell) {
  for (const file of files) tell({ name: file.name, ...(await taken(file)) });
  sessions.refresh();
}

/**
 * @param {File} file
 * @returns {Promise<{ report?: api.ImportReport, problem?: string }>}
 */
async function taken(file) {
  if (file.size > BYTES_MAX) return { problem: words.importTooLarge };
  try {
    return { report: await api.importSessions(file, /\.(jsonl|ndjson)$/i.test(file.name) ? "jsonl" : "json") };
  } catch (error) {
    return { problem: api.problemOf(error).message };
  }
}
