// Talks to a model server as tests/chat/talks.py does, with OpenAI's JavaScript client.
//   node talk.mjs BASE_URL API_KEY STYLE TURNS
// It prints what it got as JSON: one result for each call, and the conversation at the end.

import OpenAI from "openai";

const [baseURL, apiKey, style, turns] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const model = "small-model";
const name = "weather";
const tools = [{ type: "function", function: { name, parameters: { type: "object", properties: {} } } }];
const image = { type: "image_url", image_url: { url: "data:image/png;base64,iVBORw0KGgo=" } };
const results = [];

async function whole(messages, options = {}) {
  const answer = await client.chat.completions.create({ model, messages, ...options });
  results.push(answer);
  return answer.choices[0].message;
}

async function streamed(messages, options = {}) {
  const asked = { model, messages, stream: true, stream_options: { include_usage: true }, ...options };
  const runner = client.chat.completions.stream(asked);
  for await (const chunk of runner) results.push(chunk);
  return (await runner.finalChatCompletion()).choices[0].message;
}

const calls = {
  async plain(messages, turn) {
    messages.push({ role: "user", content: `question ${turn}` });
    messages.push(await whole(messages));
  },
  async stream(messages, turn) {
    messages.push({ role: "user", content: `question ${turn}` });
    messages.push(await streamed(messages));
  },
  async tools(messages, turn) {
    const ask = turn % 2 ? streamed : whole;
    messages.push({ role: "user", content: `weather ${turn}` });
    const asked = await ask(messages, { tools });
    messages.push(asked);
    for (const call of asked.tool_calls)
      messages.push({ role: "tool", tool_call_id: call.id, content: `rain ${turn}` });
    messages.push(await ask(messages, { tools }));
  },
  async parts(messages, turn) {
    messages.push({ role: "user", content: [{ type: "text", text: `image ${turn}` }, image] });
    messages.push(await whole(messages, { n: 2 }));
  },
  async errors(messages, turn) {
    messages.push({ role: "user", content: `fail:${[429, 500, 400, 401][turn % 4]} ${turn}` });
    for (let attempt = 0; ; attempt++) {
      try {
        messages.push(await whole(messages));
        return;
      } catch (error) {
        if (attempt) throw error;
        results.push([error.status, error.code, error.message]);
      }
    }
  },
};

const messages = [{ role: "system", content: `Style ${style}.` }];
for (let turn = 0; turn < Number(turns); turn++) await calls[style](messages, turn);
console.log(JSON.stringify({ results, messages }));
