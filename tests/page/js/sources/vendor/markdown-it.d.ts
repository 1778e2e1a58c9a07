// The package's own types; the classes of its states are values of the parser, which the page extends.
export { default } from "markdown-it";
export type { Env, MarkdownIt, ParserBlock, RendererRule, StateBlock, StateCore, StateInline, Token } from "markdown-it";
