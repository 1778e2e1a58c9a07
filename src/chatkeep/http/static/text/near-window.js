// Work on elements that waits until they come near the window, so that a long session opens as fast as a short one.

/**
 * Returns a function that watches an element; its work is done once, when it is near the window, one after another.
 * @param {string} margin how near, as CSS writes it
 * @param {(queue: Set<Element>) => Promise<void>} work takes from the queue until it is empty
 */
export function whenNear(margin, work) {
  /** @type {Set<Element>} */
  const queue = new Set();
  let isBusy = false;
  const workAll = async () => {
    isBusy = true;
    await work(queue);
    isBusy = false;
  };
  const watcher = new IntersectionObserver(
    (entries) => {
      for (const { isIntersecting, target } of entries) {
        if (!isIntersecting) continue;
        watcher.unobserve(target);
        queue.add(target);
      }
      if (queue.size && !isBusy) workAll();
    },
    { rootMargin: margin },
  );
  return (/** @type {Element} */ element) => watcher.observe(element);
}
