// A session as one HTML file: its text, its pictures and its styles, without a script and without a request.

import { attachmentIn } from "./attachments.js";
import { figuresOf, figureWords } from "./figures.js";
import { partSourceOf } from "./json.js";
import { blobIn } from "./blob-names.js";
import { isPicture } from "./markdown.js";
import { callsOf, endOf, fieldsOf, outcomeOf, pictureIn, resultsOf, textOfPart } from "./messages.js";
import { hasFailed } from "./outcomes.js";
import { withoutReasoning } from "./reasoning.js";
import { fragmentOf } from "./rendering.js";
import { dayName, exact, sameDay } from "./times.js";
import { words } from "./words.js";

/** @typedef {import("./messages.js").Message} Message */
/** @typedef {{ id: string, title: string, channel: string }} Headed */

const POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";
const BURST = 20; // messages, then other work is let through
const OWN_STYLE = `
html, body { height: auto; overflow: visible; }
body { max-width: 50rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
.message { padding-block: 0.7rem; }
.formula { font-family: var(--mono); font-size: 0.9em; }
.copy { display: none; }
h1 { font-size: 1.4rem; }
`;

/**
 * Returns a session as a page.
 * @param {Headed} row
 * @param {Message[]} messages
 */
export async function pageOf(row, messages) {
  const page = document.implementation.createHTMLDocument(row.title);
  const root = page.documentElement;
  root.lang = words.code;
  for (const [name, value] of [["Content-Security-Policy", POLICY], ["Content-Type", "text/html; charset=utf-8"]]) {
    page.head.append(made("meta", { "http-equiv": String(name), content: String(value) }));
  }
  page.head.append(made("meta", { name: "viewport", content: "width=device-width, initial-scale=1" }));
  page.body.append(made("h1", { dir: "auto" }, row.title), made("p", { class: "aside" }, `${row.channel} · ${row.id} · ${words.messages(messages.length)}`));
  const results = resultsOf(messages);
  const withCalls = new Set(results.values());
  /** @type {Message | null} */
  let before = null;
  for (const [nth, message] of messages.entries()) {
    if (withCalls.has(message)) continue;
    if (!before || !sameDay(before.timestamp, message.timestamp)) page.body.append(made("h2", { class: "day" }, dayName(message.timestamp, new Date(0))));
    page.body.append(articleOf(message, results));
    before = message;
    if (nth % BURST === 0) await new Promise((done) => setTimeout(done));
  }
  const written = new XMLSerializer().serializeToString(page);
  const head = written.indexOf("</head>"); // the title before it has no tags in it, they are escaped
  return `<!doctype html>\n${written.slice(0, head)}<style>${stylesOf()}${OWN_STYLE}</style>${written.slice(head)}`;
}

/** Returns the rules of the page that is shown. */
const stylesOf = () => [...document.styleSheets].flatMap((sheet) => [...sheet.cssRules]).map((rule) => rule.cssText).join("\n").replaceAll("<", "\\3c ");

/**
 * @param {Message} message
 * @param {Map<import("./messages.js").Fields, Message>} results
 */
function articleOf(message, results) {
  const { role, seq, name, timestamp, metadata } = message;
  const { reasoning, parts } = withoutReasoning(message);
  const article = made("article", { class: `message ${role}`, id: `m${seq}` });
  const head = made("header", {});
  head.append(made("span", { class: "role" }, `${words.roles[role] ?? role}${name ? ` ${name}` : ""}`), made("time", { datetime: timestamp }, exact(timestamp)));
  article.append(head);
  if (reasoning) article.append(stepOf(words.reasoning, [reasoning]));
  if (role === "tool") article.append(stepOf(name ?? words.result, [outcomeOf(message)], hasFailed(message)));
  else article.append(...parts.map(({ part, place }) => partElement(part, () => partSourceOf(message, place))));
  for (const { call, name: called, given } of callsOf(message)) {
    const result = results.get(call);
    article.append(stepOf(called, [given ?? "", ...(result ? [outcomeOf(result)] : [])], result && hasFailed(result)));
  }
  const facts = figureWords(figuresOf(message));
  for (const sentence of endOf(metadata)) article.append(made("p", { class: "aside" }, sentence));
  if (role === "assistant" && facts.length) article.append(made("p", { class: "answer-facts" }, facts.join(" · ")));
  return article;
}

/**
 * @param {import("./messages.js").Part} part
 * @param {() => string} source
 */
function partElement(part, source) {
  const text = textOfPart(part);
  if (text !== null) {
    const box = made("div", { class: "text", dir: "auto" });
    box.append(fragmentOf(text));
    return box;
  }
  const picture = pictureIn(part);
  if (picture && isPicture(picture) && !blobIn(picture)) return made("img", { class: "picture", src: picture, alt: words.picture });
  const attachment = attachmentIn(part);
  if (attachment) return made("p", { class: "attachment" }, [words.attachmentKinds[attachment.kind], attachment.name, attachment.address].filter(Boolean).join(" · "));
  return stepOf(String(fieldsOf(part).type ?? words.part), [source()]);
}

/**
 * @param {string} name
 * @param {string[]} texts
 * @param {boolean} [isFailed]
 */
function stepOf(name, texts, isFailed = false) {
  const step = made("details", { class: isFailed ? "step failed" : "step" });
  const summary = made("summary", {});
  summary.append(made("span", { class: "name" }, name), made("span", { class: "state" }, isFailed ? words.failed : ""));
  step.append(summary, ...texts.map((text) => made("pre", { class: "raw" }, text)));
  return step;
}

/**
 * @param {string} name
 * @param {Record<string, string>} attributes
 * @param {string} [text]
 */
function made(name, attributes, text = "") {
  const element = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) element.setAttribute(attribute, value);
  element.textContent = text;
  return element;
}
