// Markdown as HTML, a few blocks at a time. Nothing in a text is trusted: what looks like HTML in it stays text.

import MarkdownIt from "./vendor/markdown-it.js";
import { taught } from "./rules.js";

const GROUP_CHARS = 6_000; // about as much as is drawn between two frames
const GROUP_TOKENS = 600;
const BLOCK_TOKENS_MAX = 6_000; // a list or table with more is shown as plain text
const INLINE_CHARS_MAX = 20_000;
const DEPTH_MAX = 60;
const LINE = /\r\n?|\n/;

const parser = taught(new MarkdownIt({ html: false, linkify: true, maxNesting: DEPTH_MAX }));
parser.linkify.set({ fuzzyLink: false, fuzzyIP: false });
parser.normalizeLinkText = (text) => text; // as it was written
parser.validateLink = (address) => /^(?:https?:|mailto:)/i.test(address) || isPicture(address); // others stay text
parser.core.ruler.disable(["normalize", "block", "strip_references"]);

export const isPicture = (address) => /^data:image\/(?:png|jpeg|gif|webp|avif);base64,/i.test(address);

/** Cuts text into groups of whole blocks: each with its `source`, and `html()` or, where it is too large, `isPlain`. */
export function groupsOf(text) {
  const lines = text.split(LINE);
  const env = { lines };
  const tokens = [];
  parser.block.parse(lines.join("\n"), parser, env, tokens);
  const groups = [];
  for (const block of blocksOf(tokens)) {
    const [begin, end] = [block[0].map[0], block[0].map[1]];
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

const isTooLong = ({ type, content }) => (type === "inline" && content.length > INLINE_CHARS_MAX) || type === "plain";

/** The blocks that stand in no other, each as its tokens. */
function* blocksOf(tokens) {
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

function htmlOf(tokens, env) {
  const state = new parser.core.State("", parser, env);
  state.tokens = tokens;
  parser.core.process(state);
  return parser.renderer.render(state.tokens, parser.options, env);
}

export function escaped(text) {
  const entities = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
  return text.replace(/[&<>"']/g, (mark) => entities[mark]);
}

const { rules } = parser.renderer;
const heading = (tag, marks) => `<${tag}h3${marks}>`;
const formula = (kind) => (tokens, nth) => {
  const { content, meta } = tokens[nth];
  return `<span class="formula ${kind}" title="${escaped(meta.formula)}">${escaped(content)}</span>`;
};
const cell = (tokens, nth, options, env, self) => {
  const token = tokens[nth];
  const align = /(left|center|right)/.exec(token.attrGet("style") ?? "")?.[1];
  token.attrs = align ? [["align", align]] : null;
  return self.renderToken(tokens, nth, options);
};
const asWritten = (tokens, nth, options, { lines }) =>
  `<p class="definition">${lines.slice(...tokens[nth].map).map(escaped).join("<br>")}</p>`;
const code = (tokens, nth) => `<pre title="${escaped(tokens[nth].info)}"><code>${escaped(tokens[nth].content)}</code></pre>`;

Object.assign(rules, {
  heading_open: (tokens, nth) => heading("", ` class="depth-${tokens[nth].tag[1]}"`),
  heading_close: () => heading("/", ""),
  th_open: cell,
  td_open: cell,
  hardbreak: () => "<br>",
  softbreak: () => "<br>",
  fence: code,
  code_block: code,
  formula: formula("inline"),
  formula_display: formula("display"),
  note: (tokens, nth) => `<sup>${escaped(tokens[nth].content)}</sup>`,
  reference_definition: asWritten,
  plain: asWritten,
  link_open(tokens, nth, options, env, self) {
    const isEmpty = tokens[nth + 1]?.type === "link_close";
    return self.renderToken(tokens, nth, options) + (isEmpty ? escaped(tokens[nth].attrGet("href")) : "");
  },
  image(tokens, nth, options, env, self) {
    const [address, token] = [tokens[nth].attrGet("src"), tokens[nth]];
    const words = self.renderInlineAsText(token.children, options, env);
    return isPicture(address)
      ? `<img src="${escaped(address)}" alt="${escaped(words)}">`
      : `<a href="${escaped(address)}">${escaped(words || address)}</a>`;
  },
});

/** Without the line ends between tags that the parser's own has: where blanks are kept they would be seen. */
parser.renderer.renderToken = (tokens, nth) => {
  const token = tokens[nth];
  if (token.hidden) return "";
  return token.nesting < 0 ? `</${token.tag}>` : `<${token.tag}${parser.renderer.renderAttrs(token)}>`;
};
