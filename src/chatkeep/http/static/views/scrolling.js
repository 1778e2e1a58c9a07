// Where the reader is in a session, and the ways back there when what is drawn changes its height.

import { found, soughtIn } from "../state/sought.js";
import { bestOf, highlight, spotsOf } from "../text/highlights.js";

/** @typedef {import("../state/message-window.js").MessageWindow} MessageWindow */
/** @typedef {{ isEnd: true } | { seq: number, top: number }} Position the end, or a message and how far below the top it stands */

const AT_END_PX = 80;

/**
 * Returns the message with a seq, or the result of a call.
 * @param {Element} box
 * @param {number} seq
 * @returns {HTMLElement | null}
 */
export const elementOf = (box, seq) => box.querySelector(`[data-seq="${seq}"]`);

/**
 * Leads to the end, or to a message and the words sought there; returns whether the message is to be kept in sight.
 * @param {Element} box
 * @param {string} session
 * @param {number | null} seq
 */
export function arrive(box, session, seq) {
  const target = seq && elementOf(box, seq);
  if (!target) {
    box.scrollTop = box.scrollHeight;
    return false;
  }
  bring(box, target);
  return !showWords(box, target, session, seq);
}

/**
 * Brings a message into sight.
 * @param {Element} box
 * @param {HTMLElement} target
 */
export function bring(box, target) {
  target.scrollIntoView({ block: target.offsetHeight > box.clientHeight * 0.8 ? "start" : "center" });
}

/**
 * Brings the words for which the reader came to a message into sight, where the message is longer than the box; returns
 * whether they are there.
 * @param {Element} box
 * @param {Element} element
 * @param {string} session
 * @param {number} seq
 */
export function showWords(box, element, session, seq) {
  const sought = soughtIn(session, seq);
  const spots = sought ? spotsOf(sought.words, element) : [];
  const best = bestOf(spots);
  if (!sought || !best) return false; // they may be in what is not drawn yet
  if (sought.isMarked) highlight(spots.map(({ range }) => range));
  found();
  const [{ top, bottom }, edge] = [best.getBoundingClientRect(), box.getBoundingClientRect()];
  if (top < edge.top || bottom > edge.bottom) box.scrollTop += top - edge.top - box.clientHeight / 3;
  return true;
}

/**
 * Returns how far the end of the session is below what is in sight; without end where newer messages are not read yet.
 * @param {Element} box
 * @param {MessageWindow} window
 */
export const belowOf = ({ scrollTop, scrollHeight, clientHeight }, window) => (window.hasNewer ? Infinity : scrollHeight - scrollTop - clientHeight);

/**
 * Returns where the reader is.
 * @param {Element} box
 * @param {MessageWindow} window
 * @returns {Position | null}
 */
export const positionIn = (box, window) => (belowOf(box, window) < AT_END_PX ? { isEnd: true } : topmostIn(box));

/**
 * Returns the message at the top of what is in sight.
 * @param {Element} box
 * @returns {Position | null}
 */
export function topmostIn(box) {
  const edge = box.getBoundingClientRect().top;
  for (const message of /** @type {NodeListOf<HTMLElement>} */ (box.querySelectorAll(".message"))) {
    const { bottom, top } = message.getBoundingClientRect();
    if (bottom > edge) return { seq: Number(message.dataset.seq), top: top - edge };
  }
  return null;
}

/**
 * Leads back to a place. Who is there is not moved: that would end a scrolling under way.
 * @param {Element} box
 * @param {Position | null} position
 */
export function restore(box, position) {
  if (!position) return;
  const message = "seq" in position ? elementOf(box, position.seq) : null;
  if ("isEnd" in position) box.scrollTop = box.scrollHeight;
  if (!message || !("top" in position)) return;
  const moved = message.getBoundingClientRect().top - box.getBoundingClientRect().top - position.top;
  if (Math.abs(moved) >= 1) box.scrollTop += moved;
}
