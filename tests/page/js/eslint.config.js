// Rules for the scripts of the page. Their order (views, state, wire, text) is a test: tests/http/test_page_order.py.

import js from "@eslint/js";

const BROWSER = (
  "AbortController Blob CSS DragEvent Element Event FormData Highlight HashChangeEvent HTMLElement IntersectionObserver Intl " +
  "MutationObserver NodeFilter Range ResizeObserver TextDecoderStream URL URLSearchParams Worker addEventListener " +
  "XMLSerializer atob clearInterval clearTimeout dispatchEvent document fetch history innerHeight localStorage location matchMedia navigator performance " +
  "postMessage queueMicrotask removeEventListener requestAnimationFrame sessionStorage setInterval setTimeout"
).split(" ");

export default [
  js.configs.recommended,
  {
    files: ["**/*.js"],
    ignores: ["**/vendor/**"],
    languageOptions: { ecmaVersion: 2024, sourceType: "module", globals: Object.fromEntries(BROWSER.map((name) => [name, "readonly"])) },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      "complexity": ["error", 20], // as many ways through a function as a reader can follow
      "consistent-return": "off", // an effect that has nothing to end returns nothing
      "curly": ["error", "multi-line"], // a body on a line of its own has braces
      "default-param-last": "error", // a caller can leave out what has a default
      "eqeqeq": "error", // == changes types before it compares
      "max-lines-per-function": ["error", { max: 100, skipComments: true }], // a view with its template; others stay far below
      "max-params": ["error", 6], // as in Python
      "no-await-in-loop": "off", // exports go one after another on purpose
      "no-eval": "error", // text of others must never become a script
      "no-implied-eval": "error", // nor by a timer
      "no-new-func": "error", // nor by a constructor
      "no-param-reassign": "error", // a parameter means one thing in the whole function
      "no-restricted-properties": ["error", ...["innerHTML", "outerHTML", "insertAdjacentHTML"].map((property) => ({ property, message: "Text becomes HTML in text/rendering.js alone, through DOMPurify." }))],
      "no-shadow": ["error", { builtinGlobals: false }], // a name means one thing in one place
      "no-unneeded-ternary": "error", // a condition is a value already
      "no-unused-vars": ["error", { argsIgnorePattern: "^_" }], // what the caller gives and nobody needs is named _
      "no-useless-return": "error", // it says nothing
      "no-var": "error", // names live in their block
      "object-shorthand": "error", // the shorter form of the same
      "prefer-const": "error", // what does not change says so
      "prefer-template": "error", // sentences are read as they will be shown
    },
  },
];
