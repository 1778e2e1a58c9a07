// Keeps a conversation with OpenAI's JavaScript client.
//   node conversations.mjs BASE_URL API_KEY
// It prints what it got as JSON.

import OpenAI from "openai";

const [baseURL, apiKey] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const items = [...Array(5).keys()].map((number) => ({ type: "message", role: "user", content: `${number}` }));

const made = await client.conversations.create({ metadata: { topic: "js" } });
const added = await client.conversations.items.create(made.id, { items });
const texts = [];
for await (const item of client.conversations.items.list(made.id, { limit: 2, order: "asc" })) {
  texts.push(item.content[0].text);
}
const last = (await client.conversations.items.list(made.id, { limit: 2 })).data.map((item) => item.content[0].text);
await client.conversations.items.retrieve(added.data[0].id, { conversation_id: made.id });
await client.conversations.items.delete(added.data[0].id, { conversation_id: made.id });
const gone = await client.conversations.delete(made.id);
const statuses = [];
for (const id of ["other", made.id]) {
  await client.conversations.retrieve(id).catch((error) => statuses.push(error.status));
}
console.log(JSON.stringify({ made, texts, last, gone, statuses }));
