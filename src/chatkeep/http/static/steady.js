// What is drawn late may be higher or lower than what stood there before; what is being read stays where it is.

const keepers = new Set();

/** Adds what notes where the reader is, and returns what leads back there. Returns what takes it away again. */
export function keepSteady(keeper) {
  keepers.add(keeper);
  return () => keepers.delete(keeper);
}

/** Changes what is drawn, without moving what is read. */
export function steadily(change) {
  const ways = [...keepers].map((keeper) => keeper());
  change();
  for (const way of ways) way();
}
