// What there is to know of a session: its key, times, tags, origin, models, tokens, tools and instructions.

import { copy, tag } from "../state/actions.js";
import { details } from "../state/details.js";
import { dialog } from "../state/dialog.js";
import { sessionLink } from "../state/route.js";
import { sessions } from "../state/sessions.js";
import { figuresOf } from "../text/figures.js";
import { callsOf, fieldsOf, resultsOf, textOf } from "../text/messages.js";
import { hasFailed } from "../text/outcomes.js";
import { exact } from "../text/times.js";
import { words } from "../text/words.js";
import { html, useEffect, useMemo } from "../vendor/preact.js";
import { askTags } from "./tags.js";
import { useObserved } from "./hooks.js";
import { channelIcon, icon } from "./icons.js";
import { OtherPart } from "./tool-calls.js";

/** @typedef {import("../wire/api.js").SessionRow} SessionRow */
/** @typedef {import("../text/messages.js").Message} StoredMessage */
/** @typedef {import("../state/message-window.js").MessageWindow} MessageWindow */

const TOOLS_SHOWN = 12;
const PARENTS = ["forked_from", "parent"];

/**
 * @param {SessionRow} row
 * @param {MessageWindow} window
 */
export function openDetails(row, window) {
  const body = html`<div class="sheet"><header><h2>${words.details}</h2><button class="quiet" aria-label=${words.close} onClick=${dialog.close}>${icon("close")}</button></header><${Details} row=${row} window=${window} /></div>`;
  dialog.open({ kind: "small", label: words.details, body });
}

/** @param {{ row: SessionRow, window: MessageWindow }} props */
export function Details({ row: given, window }) {
  useObserved(sessions);
  useObserved(window);
  const row = sessions.find(given.id) ?? given;
  const detail = useObserved(details).of(row.id);
  useEffect(() => void details.load(row.id), [row.id, row.title]);
  const sums = useMemo(() => sumsOf(window.messages), [window.messages]);
  const metadata = fieldsOf(detail?.metadata);
  /** @type {[string, unknown][]} */
  const facts = [
    [words.key, html`<bdi class="key">${row.id}</bdi> <button class="quiet copy" aria-label=${words.copyKey} title=${words.copyKey} onClick=${() => copy(row.id, words.theKey)}>${icon("copy", 14)}</button>`],
    [words.channel, html`${channelIcon(row.channel, 14)} <bdi>${row.channel}</bdi>`],
    [words.begun, detail && html`<time>${exact(detail.created_at * 1000)}</time>`],
    [words.lastMessage, html`<time>${exact(row.updated_at)}</time>`],
    [words.messagesRegion, row.message_count.toLocaleString(words.code)],
    ...PARENTS.map((name) => /** @type {[string, unknown]} */ ([name === "parent" ? words.subAgentOf : words.forkOf, originOf(metadata[name])])),
    [words.model, sums.models.length > 0 && html`<bdi>${sums.models.join(", ")}</bdi>`],
    [words.tokensHead, sums.sent + sums.answered > 0 && words.tokens(sums.sent, sums.answered)],
    [words.cost, sums.cost > 0 && `$${sums.cost.toPrecision(3)}`],
  ];
  const isPart = window.hasOlder || window.hasNewer;
  const others = Object.fromEntries(Object.entries(metadata).filter(([name]) => !PARENTS.includes(name)));
  return html`
    <div class="details">
      <dl>${facts.filter(([, value]) => value).map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>
      <${Tags} row=${row} />
      ${sums.tools.length > 0 && html`<section><h3>${words.tools}</h3><table class="ranks"><tbody>${sums.tools.slice(0, TOOLS_SHOWN).map(([name, { calls, failures }]) => html`<tr><th scope="row"><bdi>${name}</bdi></th><td class="figure">${calls.toLocaleString(words.code)}${failures > 0 && html` <span class="danger">${words.failures(failures)}</span>`}</td></tr>`)}</tbody></table></section>`}
      ${isPart && html`<p class="aside">${words.countedHere(window.first, window.last)}</p>`}
      ${sums.prompt && html`<section><h3>${words.systemPrompt}</h3><p class="prompt" dir="auto" tabindex="0">${sums.prompt}</p></section>`}
      ${Object.keys(others).length > 0 && html`<${OtherPart} title=${words.metadata} body=${JSON.stringify(others)} />`}
    </div>
  `;
}

/** @param {{ row: SessionRow }} props */
function Tags({ row }) {
  return html`
    <section class="tag-list" aria-label=${words.tags}>
      ${row.tags.map((one) => html`<span class="tag chip"><bdi>${one}</bdi><button class="quiet" aria-label=${words.removeTag(one)} onClick=${() => tag([row], { added: [], removed: [one] })}>${icon("close", 12)}</button></span>`)}
      <button class="quiet" onClick=${() => askTags([row])}>${icon("tag", 14)} ${words.tags}</button>
    </section>
  `;
}

/**
 * Returns a link to the session that another comes from; null where its metadata names none.
 * @param {unknown} origin
 */
function originOf(origin) {
  const key = typeof origin === "string" ? origin : (fieldsOf(origin).session ?? fieldsOf(origin).key);
  const seq = Number(fieldsOf(origin).seq ?? 0);
  return typeof key === "string" && key ? html`<a href=${sessionLink(key, Number.isSafeInteger(seq) && seq > 0 ? seq : null)}><bdi>${key}</bdi></a>` : null;
}

/**
 * Returns what the messages that are read say together.
 * @param {StoredMessage[]} messages
 */
function sumsOf(messages) {
  const figures = messages.map(figuresOf);
  const results = resultsOf(messages);
  /** @type {Map<string, { calls: number, failures: number }>} */
  const tools = new Map();
  for (const { call, name } of messages.flatMap(callsOf)) {
    const result = results.get(call);
    const { calls, failures } = tools.get(name) ?? { calls: 0, failures: 0 };
    tools.set(name, { calls: calls + 1, failures: failures + Number(result !== undefined && hasFailed(result)) });
  }
  const prompt = messages.find(({ role }) => role === "system" || role === "developer");
  const sum = (/** @type {"sent" | "answered" | "cost"} */ name) => figures.reduce((total, one) => total + one[name], 0);
  return {
    models: [...new Set(figures.map(({ model }) => model).filter(Boolean))],
    sent: sum("sent"),
    answered: sum("answered"),
    cost: sum("cost"),
    tools: [...tools].sort(([, one], [, other]) => other.calls - one.calls),
    prompt: prompt ? textOf(prompt.content) : "",
  };
}
