// Times in the reader's zone and in few words.

import { words } from "./words.js";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** @type {Map<string, Intl.DateTimeFormat>} */
const formats = new Map();

/**
 * Returns a format for times in a language, made once; without one, in the reader's own.
 * @param {Intl.DateTimeFormatOptions} options
 * @param {string} [language]
 */
export function dateFormat(options, language = words.code) {
  const name = `${language} ${JSON.stringify(options)}`;
  const format = formats.get(name) ?? new Intl.DateTimeFormat(language || undefined, options);
  formats.set(name, format);
  return format;
}

/** @typedef {string | number | Date} Time */

/** @param {Time} time */
export const clock = (time) => dateFormat({ hour: "2-digit", minute: "2-digit" }, "").format(new Date(time));
/** @param {Time} time */
export const exact = (time) => dateFormat({ dateStyle: "full", timeStyle: "medium" }, "").format(new Date(time));

/**
 * Returns how long ago a time is, in one or two words: "now", "5 min", "3 h", "2 d", then the date.
 * @param {Time} time
 */
export function ago(time, now = Date.now()) {
  const then = new Date(time);
  const passed = now - +then;
  if (passed < MINUTE) return words.now;
  if (passed < HOUR) return words.minutes(Math.floor(passed / MINUTE));
  if (passed < DAY) return words.hours(Math.floor(passed / HOUR));
  if (passed < 7 * DAY) return words.days(Math.floor(passed / DAY));
  const year = then.getFullYear() === new Date(now).getFullYear() ? {} : /** @type {const} */ ({ year: "numeric" });
  return dateFormat({ day: "numeric", month: "short", ...year }).format(then);
}

/**
 * Returns the day of a time in the reader's zone, as a name to read.
 * @param {Time} time
 */
export function dayName(time, now = new Date()) {
  const day = startOfDay(new Date(time));
  const distance = Math.round((+startOfDay(now) - +day) / DAY);
  if (distance === 0) return words.today;
  if (distance === 1) return words.yesterday;
  return dateFormat({ weekday: "long", day: "numeric", month: "long", year: "numeric" }).format(day);
}

/**
 * Returns how long something took: "0.4 s", "5 s", "2 min 5 s".
 * @param {number} ms
 */
export function lasted(ms) {
  if (ms < 1000) return `${Math.max(0.1, Math.round(ms / 100) / 10)} s`;
  const seconds = Math.round(ms / 1000);
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

/** @type {(one: Time, other: Time) => boolean} */
export const sameDay = (one, other) => +startOfDay(new Date(one)) === +startOfDay(new Date(other));

/** @param {Date} time */
const startOfDay = (time) => new Date(time.getFullYear(), time.getMonth(), time.getDate());
