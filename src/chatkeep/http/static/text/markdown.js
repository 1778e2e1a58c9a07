// Markdown as HTML, a few blocks at a time. Nothing in a text is trusted: what looks like HTML in it stays text.

import MarkdownIt from "../vendor/markdown-it.js";
import { taught } from "./markdown-rules.js";

const GROUP_CHARS = 6_000; // about as much as is drawn between two frames
const GROUP_TOKENS = 600;
const BLOCK_TOKENS_MAX = 6_000; // a list or table with more is shown as plain text
const INLINE_CHARS_MAX = 20_000;
const DEPTH_MAX = 60;
const WHOLES = new Set(["fence", "code_block", "table_open", "formula_display"]);
const LINE = /\r\n?|\n/;

/** @typedef {import("./markdown-blocks.js").Env} Env */
/** @typedef {import("../vendor/markdown-it.js").Token} Token */
/** @typedef {import("../vendor/markdown-it.js").RendererRule} RendererRule */
/** @typedef {{ tokens: Token[], size: number, begin: number, end: number, isPlain: boolean }} Group blocks, and the lines they stand in */

const parser = taught(new MarkdownIt({ html: false, linkify: true, maxNesting: DEPTH_MAX }));
parser.linkify.set({ fuzzyLink: false, fuzzyIP: false });
parser.normalizeLinkText = (text) => text; // as it was written
parser.validateLink = (address) => /^(?:https?:|mailto:)/i.test(address) || isPicture(address); // others stay text
parser.core.ruler.disable(["normalize", "block", "strip_references"]);

/** @param {string} address */
export const isPicture = (address) => /^data:image\/(?:png|jpeg|gif|webp|avif);base64,/i.test(address);

/**
 * Cuts text into groups of whole blocks: each with its `source`, and `html()` or, where it is too large, `isPlain`.
 * @param {string} text
 */
export function groupsOf(text) {
  const lines = text.split(LINE);
  /** @type {Env} */
  const env = { lines };
  /** @type {Token[]} */
  const tokens = [];
  parser.block.parse(lines.join("\n"), parser, env, tokens);
  /** @type {Group[]} */
  const groups = [];
  for (const block of blocksOf(tokens)) {
    const [begin, end] = block[0]?.map ?? [0, 0];
    const isPlain = block.length > BLOCK_TOKENS_MAX || block.some(isTooLong);
    const last = groups.at(-1);
    const size = lines.slice(begin, end).reduce((sum, line) => sum + line.length + 1, 0);
    const isRoom = last && !isPlain && !last.isPlain && last.size + size <= GROUP_CHARS && last.tokens.length + block.length <= GROUP_TOKENS;
    if (isRoom) {
      last.tokens.push(...block);
      last.size += size;
      last.end = end;
    } else groups.push({ tokens: [...block], size, begin, end, isPlain });
  }
  return groups.map(({ tokens: group, begin, end, isPlain }) => ({
    source: lines.slice(begin, end).join("\n"),
    isPlain,
    html: () => htmlOf(group, env),
  }));
}

/**
 * Returns the lines of blocks that are of no use in part, each as its begin and end: code, tables, formulas.
 * @param {string} text
 */
export function wholesIn(text) {
  const lines = text.split(LINE);
  /** @type {Token[]} */
  const tokens = [];
  parser.block.parse(lines.join("\n"), parser, { lines }, tokens);
  return tokens.filter(({ type, map }) => map && WHOLES.has(type)).map(({ map }) => /** @type {[number, number]} */ (map));
}

/** @param {Token} token */
const isTooLong = ({ type, content }) => (type === "inline" && content.length > INLINE_CHARS_MAX) || type === "plain";

/**
 * Yields the blocks that stand in no other, each as its tokens.
 * @param {Token[]} tokens
 */
function* blocksOf(tokens) {
  /** @type {Token[]} */
  let block = [];
  let depth = 0;
  for (const token of tokens) {
    block.push(token);
    depth += token.nesting;
    if (depth > 0) continue;
    yield block;
    block = [];
  }
}

/**
 * @param {Token[]} tokens
 * @param {Env} env
 */
function htmlOf(tokens, env) {
  const state = new parser.core.State("", parser, env);
  state.tokens = tokens;
  parser.core.process(state);
  return parser.renderer.render(state.tokens, parser.options, env);
}

const ENTITIES = new Map([["&", "&amp;"], ["<", "&lt;"], [">", "&gt;"], ['"', "&quot;"], ["'", "&#39;"]]);

/**
 * Returns text as HTML that shows it.
 * @param {string} text
 */
const escaped = (text) => text.replace(/[&<>"']/g, (mark) => ENTITIES.get(mark) ?? mark);

/**
 * @param {Token} token
 * @param {string} name
 */
const attributeOf = (token, name) => String(token.attrGet(name) ?? "");

const { rules } = parser.renderer;
/** @type {(tag: string, marks: string) => string} */
const heading = (tag, marks) => `<${tag}h3${marks}>`;
/** @type {(kind: "inline" | "display") => RendererRule} */
const formula = (kind) => (tokens, nth) => {
  const { content, meta } = tokenAt(tokens, nth);
  return `<span class="formula ${kind}" title="${escaped(String(meta?.formula))}">${escaped(content)}</span>`;
};
/** @type {RendererRule} */
const cell = (tokens, nth, options, _, self) => {
  const token = tokenAt(tokens, nth);
  const align = /(left|center|right)/.exec(attributeOf(token, "style"))?.[1];
  token.attrs = align ? [["align", align]] : null;
  return self.renderToken(tokens, nth, options);
};
/** @type {RendererRule} */
const asWritten = (tokens, nth, _, env) => {
  const { lines = [] } = /** @type {Env} */ (env);
  return `<p class="definition">${lines.slice(...(tokenAt(tokens, nth).map ?? [0, 0])).map(escaped).join("<br>")}</p>`;
};
/** @type {RendererRule} */
const code = (tokens, nth) => {
  const { info, content } = tokenAt(tokens, nth);
  return `<pre title="${escaped(info)}"><code>${escaped(content)}</code></pre>`;
};

/**
 * @param {Token[]} tokens
 * @param {number} nth
 */
const tokenAt = (tokens, nth) => /** @type {Token} */ (tokens[nth]); // the renderer asks for those there are

/** @type {Record<string, RendererRule>} */
const OURS = {
  heading_open: (tokens, nth) => heading("", ` class="depth-${tokenAt(tokens, nth).tag[1]}"`),
  heading_close: () => heading("/", ""),
  th_open: cell,
  td_open: cell,
  hardbreak: () => "<br>",
  softbreak: () => "<br>",
  fence: code,
  code_block: code,
  formula: formula("inline"),
  formula_display: formula("display"),
  note: (tokens, nth) => `<sup>${escaped(tokenAt(tokens, nth).content)}</sup>`,
  reference_definition: asWritten,
  plain: asWritten,
  link_open(tokens, nth, options, _, self) {
    const isEmpty = tokens[nth + 1]?.type === "link_close";
    const address = attributeOf(tokenAt(tokens, nth), "href");
    return self.renderToken(tokens, nth, options) + (isEmpty ? escaped(address) : "");
  },
  image(tokens, nth, options, env, self) {
    const token = tokenAt(tokens, nth);
    const address = attributeOf(token, "src");
    const words = self.renderInlineAsText(token.children ?? [], options, env);
    return isPicture(address)
      ? `<img src="${escaped(address)}" alt="${escaped(words)}">`
      : `<a href="${escaped(address)}">${escaped(words || address)}</a>`;
  },
};
Object.assign(rules, OURS);

// Without the line ends between tags that the parser's own has: where blanks are kept they would be seen.
parser.renderer.renderToken = (tokens, nth) => {
  const token = tokenAt(tokens, nth);
  if (token.hidden) return "";
  return token.nesting < 0 ? `</${token.tag}>` : `<${token.tag}${parser.renderer.renderAttrs(token)}>`;
};
