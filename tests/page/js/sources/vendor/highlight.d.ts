// highlight.js as far as the page uses it: the package of its browser build has no types.

declare const highlighter: {
  getLanguage(name: string): object | undefined;
  highlight(text: string, options: { language: string; ignoreIllegals: boolean }): { value: string };
};
export default highlighter;
