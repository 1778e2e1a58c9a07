// Read by tsc alone: the types of the npm package fit their use.
import { Chatkeep, ChatkeepError, type Change, type Message, type UIMessageLike } from "../../clients/js/index.js";

export async function used(signal: AbortSignal): Promise<string[]> {
  const client = new Chatkeep({ url: "http://127.0.0.1:8000", token: "ck_x" });
  const session = await client.create({ key: "a", messages: [{ role: "user", content: "Hi" }] });
  const page = await client.list({ tag: ["x"], "meta.user": "alice", archived: "all" });
  const appended = await client.append(session.key, { role: "user", content: [{ type: "text", text: "?" }] });
  await client.drop(session.key, { seq: "1-2" }, { mark: "undo-1" });
  // @ts-expect-error a choice is one of four
  await client.drop(session.key, { everything: true });
  const found: Message[] = [];
  for await (const message of client.read(session.key)) found.push(message);
  const { messages } = await client.messages<UIMessageLike>(session.key, { shape: "ui" });
  const chat: UIMessageLike[] = await client.loadChat("a");
  await client.saveChat({ id: "a", messages: [...chat, ...messages] });
  const changes: Change[] = [];
  for await (const change of client.events({ signal })) changes.push(change);
  const failure = await client.token().catch((error: unknown) => (error instanceof ChatkeepError ? error.code : ""));
  return [page.sessions[0]?.title ?? "", `${appended.messages.length}`, `${failure}`, ...found.map((one) => one.id)];
}
