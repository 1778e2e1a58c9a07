// Scroll anchoring: late drawing changes heights, and the reader's lines stay where they are.

/** @typedef {() => () => void} Anchor notes where the reader is, and returns a function that leads back there */

/** @type {Set<Anchor>} */
const anchors = new Set();

/**
 * Adds an anchor; returns a function that takes it away again.
 * @param {Anchor} anchor
 */
export function addAnchor(anchor) {
  anchors.add(anchor);
  return () => void anchors.delete(anchor);
}

/**
 * Changes what is drawn, without moving what is read.
 * @param {() => void} change
 */
export function anchored(change) {
  const ways = [...anchors].map((anchor) => anchor());
  change();
  for (const way of ways) way();
}
