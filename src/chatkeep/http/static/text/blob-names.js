// Attachments that the server keeps beside the messages: their names in the parts, and where their bytes are.

/** @typedef {{ address: string, size: number, type: string }} BlobPlace `type` is empty where the part does not say it */

const NAME = /^(?:data:([\w.+/-]*);base64,)?chatkeep-blob:([0-9a-f]{64});(\d{1,10});[a-z0-9-]{1,20};(?:data:([\w.+/-]*)[^,]{0,200},)?$/;
const PICTURE = /^image\/(?:png|jpeg|gif|webp|avif)$/;

/**
 * Returns where the bytes of an attachment are, or null for another text.
 * @param {string} text
 * @returns {BlobPlace | null}
 */
export function blobIn(text) {
  const found = NAME.exec(text);
  if (!found) return null;
  return { address: `/api/v1/blobs/${found[2]}`, size: Number(found[3]), type: found[4] || found[1] || "" };
}

/**
 * Returns where the bytes of a picture are, or null for another text.
 * @param {string} text
 */
export function pictureBlobIn(text) {
  const blob = blobIn(text);
  return blob && PICTURE.test(blob.type) ? blob.address : null;
}
