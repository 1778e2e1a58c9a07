// Parts of a message that are files: their names, kinds and sizes, and their bytes where they are stored with it.

import { blobIn } from "./blob-names.js";
import { fieldsOf, pictureIn } from "./messages.js";

/** @typedef {import("./messages.js").Part} Part */
/** @typedef {"picture" | "audio" | "video" | "file"} Kind */
/** @typedef {{ kind: Kind, name: string, type: string, data: string, address: string, blob: import("./blob-names.js").BlobPlace | null }} Attachment `data` is Base64, `address` where it lies; either may be empty. `blob` is where the server has the bytes */

/** @type {[RegExp, Kind][]} */
const KINDS = [[/image|picture/, "picture"], [/audio|voice/, "audio"], [/video/, "video"], [/file|document|attachment|pdf|blob/, "file"]];
const NAMED = ["filename", "file_name", "name", "title"];
const TYPED = ["media_type", "mime_type", "mimeType", "mediaType", "content_type"];
const LOCATED = ["file_url", "file_uri", "fileUri", "uri", "url", "path"];
const DATA = /^data:([\w.+/-]*)[^,]{0,200};base64,([A-Za-z0-9+/=_-]*)$/;
const ADDRESS = /^https?:\/\//i;

/**
 * Returns the file in a part, or null where it is another thing.
 * @param {Part} part
 * @returns {Attachment | null}
 */
export function attachmentIn(part) {
  const fields = fieldsOf(part);
  const kind = KINDS.find(([pattern]) => pattern.test(String(fields.type ?? "").toLowerCase()))?.[1];
  if (!kind) return null;
  const places = [fields, ...["file", "input_audio", "audio", "source", "image_url", "inline_data", "inlineData", "file_data", "fileData", "video_url", "audio_url"].map((name) => fieldsOf(fields[name]))];
  const address = pictureIn(part) ?? textIn(places, LOCATED);
  const inline = textIn(places, ["file_data", "data", "b64_json"]) || address;
  const [, ownType = "", ownData = ""] = DATA.exec(inline) ?? [];
  const blob = blobIn(inline);
  const format = textIn(places, ["format"]);
  const type = ownType || blob?.type || textIn(places, TYPED) || (format && `${kind === "picture" ? "image" : kind}/${format}`);
  const data = ownData || (/^[A-Za-z0-9+/=\s]+$/.test(inline) && inline !== address ? inline : "");
  const isAway = ADDRESS.test(address);
  return {
    kind,
    name: textIn(places, NAMED) || (isAway ? lastOf(address) : "") || textIn(places, ["file_id", "id", "sha256"]),
    type,
    data,
    address: isAway ? address : "",
    blob,
  };
}

/**
 * Returns the bytes of an attachment, or null where its text is no Base64.
 * @param {Attachment} attachment
 */
export function bytesOf({ data, type }) {
  try {
    const letters = atob(data.replace(/-/g, "+").replace(/_/g, "/"));
    const bytes = Uint8Array.from(letters, (letter) => letter.charCodeAt(0));
    return new Blob([bytes], { type: type || "application/octet-stream" });
  } catch {
    return null;
  }
}

/**
 * Returns how many bytes an attachment has; 0 where they are not stored with the message.
 * @param {Attachment} attachment
 */
export const bytesIn = ({ data }) => Math.floor((data.replace(/=+$/, "").length * 3) / 4);

/**
 * Returns the first of the named fields that is a text.
 * @param {Record<string, unknown>[]} places
 * @param {string[]} names
 */
function textIn(places, names) {
  const found = names.flatMap((name) => places.map((fields) => fields[name])).find((value) => typeof value === "string" && value);
  return typeof found === "string" ? found : "";
}

/** @param {string} address */
function lastOf(address) {
  try {
    const { pathname, hostname } = new URL(address);
    return decodeURIComponent(pathname.split("/").filter(Boolean).at(-1) ?? "") || hostname;
  } catch {
    return "";
  }
}
