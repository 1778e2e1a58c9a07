// Times in the reader's zone and in few words.

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const clockFormat = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const exactFormat = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });
const thisYear = new Intl.DateTimeFormat("en", { day: "numeric", month: "short" });
const otherYear = new Intl.DateTimeFormat("en", { day: "numeric", month: "short", year: "numeric" });
const dayFormat = new Intl.DateTimeFormat("en", { weekday: "long", day: "numeric", month: "long", year: "numeric" });

/** @typedef {string | number | Date} Time */

/** @param {Time} time */
export const clock = (time) => clockFormat.format(new Date(time));
/** @param {Time} time */
export const exact = (time) => exactFormat.format(new Date(time));

/**
 * Returns how long ago a time is, in one or two words: "now", "5 min", "3 h", "2 d", then the date.
 * @param {Time} time
 */
export function ago(time, now = Date.now()) {
  const then = new Date(time);
  const passed = now - +then;
  if (passed < MINUTE) return "now";
  if (passed < HOUR) return `${Math.floor(passed / MINUTE)} min`;
  if (passed < DAY) return `${Math.floor(passed / HOUR)} h`;
  if (passed < 7 * DAY) return `${Math.floor(passed / DAY)} d`;
  return (then.getFullYear() === new Date(now).getFullYear() ? thisYear : otherYear).format(then);
}

/**
 * Returns the day of a time in the reader's zone, as a name to read.
 * @param {Time} time
 */
export function dayName(time, now = new Date()) {
  const day = startOfDay(new Date(time));
  const distance = Math.round((+startOfDay(now) - +day) / DAY);
  if (distance === 0) return "Today";
  if (distance === 1) return "Yesterday";
  return dayFormat.format(day);
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
