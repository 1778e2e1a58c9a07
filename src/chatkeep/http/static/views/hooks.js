// Hooks: what components draw themselves again for.

import { counts } from "../state/counts.js";
import { layers } from "../state/layers.js";
import { useEffect, useLayoutEffect, useReducer } from "../vendor/preact.js";

/** @typedef {import("../state/observable.js").Observable} Observable */

const useRedraw = () => useReducer((/** @type {number} */ count) => count + 1, 0)[1];

/**
 * Draws the component again whenever the state has changed; returns the state.
 * @template {Observable} T
 * @param {T} state
 */
export function useObserved(state) {
  const redraw = useRedraw();
  const drawn = state.version;
  useEffect(() => {
    const end = state.listen(() => redraw());
    if (state.version !== drawn) redraw(); // it changed before anybody listened
    return end;
  }, [state]);
  return state;
}

/**
 * Returns whether a media query holds, and draws the component again when that changes.
 * @param {string} query
 */
export function useMedia(query) {
  const media = matchMedia(query);
  const redraw = useRedraw();
  useEffect(() => {
    const listener = () => redraw();
    media.addEventListener("change", listener);
    return () => media.removeEventListener("change", listener);
  }, [query]);
  return media.matches;
}

/**
 * Lets Escape close something while it is open, if nothing lies on it.
 * @param {boolean} isOpen
 * @param {() => void} close
 */
export function useLayer(isOpen, close) {
  useLayoutEffect(() => (isOpen ? layers.add(close) : undefined), [isOpen]); // gone as soon as it is not seen
}

/** Returns the counts as they were half a minute ago or later; `stats` is null until they are there. */
export function useCounts() {
  useEffect(() => void counts.load(), []);
  return useObserved(counts);
}

/**
 * Returns where an arrow key leads in a list: 1 down, -1 up, 0 nowhere.
 * @param {string} key
 */
export const arrowStep = (key) => Number(key === "ArrowDown") - Number(key === "ArrowUp");
