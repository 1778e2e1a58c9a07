// Uses the npm package against a server, and prints what it got as JSON.
//   node use.mjs URL TOKEN

import { Chatkeep, ChatkeepError } from "../../clients/js/index.js";

const [url, token] = process.argv.slice(2);
const client = new Chatkeep({ url: `${url}/`, token });
const told = {};
const failures = async (promise) => promise.then(() => "no error", (error) => [error instanceof ChatkeepError, error.code, error.status]);

const watching = new AbortController();
const changes = [];
let ready;
const isReady = new Promise((resolve) => (ready = resolve));
const ended = (async () => {
  for await (const change of client.events({ signal: watching.signal })) {
    if (change.kind === "ready") ready();
    if (change.key === "js:a b/ü" && changes.push([change.kind, change.last_seq ?? null]) === 3) watching.abort();
  }
})();
await isReady;

const key = "js:a b/ü";
await client.create({ key, title: "From JavaScript", metadata: { user: "frank" } });
const drafts = Array.from({ length: 501 }, (_, number) => ({ role: "user", content: `word${number}` }));
told.appended = (await client.append(key, drafts)).message_count;
const all = [];
for await (const message of client.read(key)) all.push(message.content);
told.read = [all.length, all[0], all.at(-1)];
told.dropped = (await client.drop(key, { last: 1 })).message_count;
told.changes = (await ended, changes);
told.replaced = (await client.replace(key, [{ role: "user", content: "the axolotl" }])).message_count;
told.found = (await client.search("axolotl", { limit: 5 })).hits.map((hit) => hit.key);
told.listed = (await client.list({ "meta.user": "frank", metadata: true })).sessions.map((one) => [one.key, one.metadata.user]);
told.revised = (await client.revise(key, { title: "Renamed", tags: ["x", "y"] })).title;
told.tagged = (await client.list({ tag: ["x", "y"] })).sessions.length;
told.fork = (await client.fork({ session: key, key: "js:fork" })).key ?? null;
const walked = [];
for await (const session of client.sessions({ prefix: "js:", limit: 1 })) walked.push(session.key);
told.walked = walked;
told.exported = JSON.parse(await client.export(key)).messages.map((message) => message.content);
told.scopes = (await client.token()).scopes;
await client.delete("js:fork");
told.errors = [
  await failures(client.get("js:fork")),
  await failures(client.create({ key })),
  await failures(client.append(key, [{ role: "nobody", content: "x" }])),
  await failures(new Chatkeep({ url, token: "ck_wrong" }).token()),
  await failures(new Chatkeep({ url: "http://127.0.0.1:9", token }).token()),
];

const said = (id, ...parts) => ({ id, role: id.startsWith("a") ? "assistant" : "user", parts });
const text = (words) => ({ type: "text", text: words });
const call = { type: "tool-weather", toolCallId: "c1", state: "output-available", input: { city: "Oslo" }, output: { degrees: 7 } };
const chat = [
  said("u1", text("Where is the okapi?\0 \ud800 😀")),
  { ...said("a1", { type: "step-start" }, call, text("In the Congo.")), metadata: { model: "m", n: 2 ** 53 } },
  said("u2", { type: "file", mediaType: "image/png", url: "data:image/png;base64,iVBORw0KGgo=" }, { type: "data-x", data: [1, null] }),
];
told.none = await client.loadChat("js:chat");
await client.saveChat({ id: "js:chat", messages: chat.slice(0, 2), channel: "web" });
await client.saveChat({ id: "js:chat", messages: chat });
await client.addToChat("js:chat", [said("a2", text("..."))]);
const grown = [...chat, said("a2", text("... it is a picture."))];
told.lines = (await client.saveChat({ id: "js:chat", messages: grown })).message_count;
const loaded = await client.loadChat("js:chat");
told.exact = JSON.stringify(loaded) === JSON.stringify(grown);
told.last = (await client.loadChat("js:chat", { last: 2 })).map((message) => message.id);
told.chat_found = (await client.search("okapi")).hits.map((hit) => hit.key);
await client.append("js:chat", [{ role: "assistant", content: "From elsewhere." }]);
told.foreign = (await client.loadChat("js:chat")).at(-1).parts;
told.long = [];
await client.replace("js:long", Array.from({ length: 1201 }, (_, n) => ({ role: "user", content: `${n}` })));
const long = await client.loadChat("js:long");
told.long = [long.length, long[0].parts[0].text, long.at(-1).parts[0].text];
told.bad = await client.saveChat({ id: "js:chat", messages: [{ id: "x", role: "tool", parts: [] }] }).catch((error) => error.name);

/** Return a client that waits for something else before each request with a piece in its method or address. */
const behind = (piece, first) => new Chatkeep({ url, token, fetch: async (where, given) => {
  if (`${given.method} ${where}`.includes(piece)) await first();
  return fetch(where, given);
} });
const begin = () => client.saveChat({ id: "js:twice", messages: chat, channel: "web" });
await behind("POST ", begin).saveChat({ id: "js:twice", messages: chat, channel: "web" });
told.twice = (await client.loadChat("js:twice")).length;
const more = () => client.append("js:long", { role: "user", content: "later" });
const beside = await behind("shape=ui", more).loadChat("js:long", { last: 600 });
told.beside = beside.every((message, place) => message.parts[0].text === `${601 + place}`);
const broken = new Chatkeep({ url, token, fetch: async () => new Response("<html>") });
told.broken = await failures(broken.token());
console.log(JSON.stringify(told));
