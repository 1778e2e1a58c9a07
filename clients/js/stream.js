// Server-sent events, as https://html.spec.whatwg.org/multipage/server-sent-events.html has them.

/** Yield the events in a body: `{event, id, data}`. */
export async function* eventsIn(body) {
  let event = "";
  let id = "";
  let data = [];
  for await (const line of linesIn(body)) {
    if (line === "") {
      if (event || data.length) yield { event: event || "message", id, data: data.join("\n") };
      event = "";
      data = [];
      continue;
    }
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") event = value;
    else if (field === "data") data.push(value);
    else if (field === "id" && !value.includes("\0")) id = value;
  }
}

async function* linesIn(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const lines = (rest + value).split(/\r\n|\n|\r(?=[^])/);
      rest = lines.pop();
      yield* lines;
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}
