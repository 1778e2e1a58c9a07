// Small drawings, in the colour of the text around them.

import { html } from "../vendor/preact.js";

/** @type {Record<string, string>} */
const PATHS = {
  search: "M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9zM10.3 10.3l3.2 3.2",
  filter: "M2.5 4h11M4.5 8h7M6.5 12h3",
  pin: "M6 2.5h4l-.5 4 2 2.5h-7l2-2.5zM8 9v4.5",
  archive: "M2.5 3h11v3h-11zM3.5 6v7h9V6M6.5 8.5h3",
  trash: "M3 4.5h10M6 4.5V3h4v1.5M4.5 4.5l.5 9h6l.5-9",
  edit: "M10.5 3l2.5 2.5L6 12.5 3 13l.5-3z",
  tag: "M2.5 2.5h5l6 6-5 5-6-6zM5.2 5.2h.1",
  more: "M3.5 8h.1M8 8h.1M12.5 8h.1",
  back: "M10 3L5 8l5 5",
  earlier: "M10 3.5L5.5 8l4.5 4.5",
  later: "M6 3.5L10.5 8 6 12.5",
  again: "M13 8a5 5 0 1 1-1.6-3.7M11.8 1.8v2.8H9",
  up: "M3 10l5-5 5 5",
  down: "M3 6l5 5 5-5",
  close: "M3.5 3.5l9 9M12.5 3.5l-9 9",
  copy: "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
  check: "M3 8.5l3.5 3.5L13 4.5",
  link: "M6.5 9.5l3-3M7 5l2-2a2.8 2.8 0 0 1 4 4l-2 2M9 11l-2 2a2.8 2.8 0 0 1-4-4l2-2",
  save: "M8 2.5v7.5M5 7.5l3 3 3-3M3 13.5h10",
  tool: "M9.5 2.8a3.4 3.4 0 0 0-3.2 4.6L2.8 11l2.2 2.2 3.6-3.5a3.4 3.4 0 0 0 4.6-4.2L11 7.4 8.6 5z",
  new: "M8 3v10M3 8h10",
  help: "M6 6a2 2 0 1 1 2.6 1.9c-.4.2-.6.5-.6 1V10M8 12.4v.1",
  leave: "M9.5 2.5h-6v11h6M6.5 8h7M11 5.5L13.5 8 11 10.5",
  send: "M2.5 8l11-5-4 11-2-4.5z",
  stop: "M4 4h8v8H4z",
  info: "M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11zM8 7.3v3.4M8 5.1v.1",
  import: "M8 10V2.5M5 5.5l3-3 3 3M3 9.5v4h10v-4",
  settings: "M2.5 4.5h5M11 4.5h2.5M9.2 2.9a1.6 1.6 0 1 0 0 3.2 1.6 1.6 0 0 0 0-3.2zM2.5 11.5H5M8.6 11.5h4.9M6.8 9.9a1.6 1.6 0 1 0 0 3.2 1.6 1.6 0 0 0 0-3.2z",
  failed: "M8 2.5l6 11H2zM8 6.7v3.3M8 11.8v.1",
  picture: "M2.5 3h11v10h-11zM2.5 11l3.5-3.5 3 3 2-2 2.5 2.5M10.5 5.8h.1",
  audio: "M3 6.5v3h2l3 2.7V3.8L5 6.5zM10.5 6a3 3 0 0 1 0 4M12.5 4.3a5.5 5.5 0 0 1 0 7.4",
  video: "M2 4h8.5v8H2zM10.5 7L14 5v6l-3.5-2",
  file: "M4 2.5h5l3 3v8H4zM9 2.5v3h3",
  fork: "M4.5 5.5v5M4.5 2.5a1.5 1.5 0 1 0 0 3 1.5 1.5 0 0 0 0-3zM4.5 10.5a1.5 1.5 0 1 0 0 3 1.5 1.5 0 0 0 0-3zM11.5 3.5a1.5 1.5 0 1 0 0 3 1.5 1.5 0 0 0 0-3zM11.5 6.5c0 2.5-7 1.5-7 4",
  chart: "M2.5 13.5h11M4.5 13V8M8 13V3.5M11.5 13V6.5",
  cli: "M2 3h12v10H2zM4.5 6l2 2-2 2M8.5 10.2h3",
  telegram: "M2 7.5l12-5-2.5 11-4-3.5zM14 2.5L7.5 10v3.5l2-2",
  discord: "M4.5 4c2.3-.8 4.7-.8 7 0l2 6.5c-1 1-2 1.5-3 1.7l-.8-1.2M4.5 4l-2 6.5c1 1 2 1.5 3 1.7l.8-1.2M4.5 10.7c2.3.9 4.7.9 7 0M6 8h.1M10 8h.1",
  slack: "M6.5 2L5 14M11 2L9.5 14M2.5 5.5h11M2.5 10.5h11",
  web: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zM2 8h12M8 2c2 2 2.5 4 2.5 6S10 12 8 14c-2-2-2.5-4-2.5-6S6 4 8 2z",
  api: "M6 2.5c-2 0-2 1-2 2.5S4 8 2.5 8C4 8 4 9.5 4 11s0 2.5 2 2.5M10 2.5c2 0 2 1 2 2.5s0 3 1.5 3C12 8 12 9.5 12 11s0 2.5-2 2.5",
  chat: "M2.5 3h11v8H8l-3 2.5V11H2.5z",
};

/** @param {string} name */
export const icon = (name, size = 16) => html`
  <svg class="icon" viewBox="0 0 16 16" width=${size} height=${size} aria-hidden="true"><path d=${PATHS[name]} /></svg>
`;

/**
 * @param {string} channel
 * @param {number} [size]
 */
export const channelIcon = (channel, size) => icon(channel in PATHS ? channel : "chat", size);
