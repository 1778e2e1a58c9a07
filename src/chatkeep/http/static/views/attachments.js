// Files in a message: by name, with their bytes to save where they are stored. Nothing far is loaded.

import { download, fileName } from "../state/actions.js";
import { notices } from "../state/notices.js";
import { bytesIn, bytesOf } from "../text/attachments.js";
import { sized } from "../text/sizes.js";
import { words } from "../text/words.js";
import { html } from "../vendor/preact.js";
import { icon } from "./icons.js";
import { OtherPart } from "./tool-calls.js";

/** @typedef {import("../text/attachments.js").Attachment} Attachment */

/** @param {{ attachment: Attachment, source: () => string }} props */
export function AttachmentPart({ attachment, source }) {
  const { kind, name, type, address, data, blob } = attachment;
  if (!name && !type && !address && !data && !blob) return html`<${OtherPart} title=${words.attachmentKinds[kind]} body=${source()} />`;
  const size = blob ? sized(blob.size) : data ? sized(bytesIn(attachment)) : "";
  const save = () => {
    const bytes = bytesOf(attachment);
    if (bytes) download(bytes, fileName(name || words.attachmentKinds[kind]));
    else notices.say(words.attachmentBroken, { kind: "problem" });
  };
  return html`
    <div class="attachment">
      ${icon(kind, 18)}
      <span class="what"><bdi class="name">${name || words.attachmentKinds[kind]}</bdi><span class="aside">${[words.attachmentKinds[kind], type, size].filter(Boolean).join(" · ")}</span></span>
      ${data && html`<button class="quiet" aria-label=${words.saveFile(name || words.attachmentKinds[kind])} title=${words.save} onClick=${save}>${icon("save")}</button>`}
      ${blob && html`<a class="button quiet" href=${blob.address} download=${fileName(name || words.attachmentKinds[kind])} aria-label=${words.saveFile(name || words.attachmentKinds[kind])} title=${words.save}>${icon("save")}</a>`}
      ${address && html`<a class="button quiet" href=${address} target="_blank" rel="noopener noreferrer" aria-label=${words.openElsewhere(hostOf(address))}>${words.openAt(hostOf(address))}</a>`}
    </div>
  `;
}

/** @param {string} address */
function hostOf(address) {
  try {
    return new URL(address).host;
  } catch {
    return address;
  }
}
