"""Conversations with the clients of newer protocols: twenty turns with reasoning, tools, images, streamed and not.

A conversation returns the bytes of its answers, and what was said in the end as the client has it.
"""

from __future__ import annotations

import json
from typing import Any

import anthropic
import httpx2
import openai
from google import genai
from google.genai import types

Json = Any
MODEL = "small-model"
PICTURE = "iVBORw0KGgo="
QUESTIONS = ("hello", "think about it", "weather in Oslo", "search for it")


class Heard(httpx2.Client):
    """A client of HTTP that notes what answers say."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        super().__init__(timeout=30, event_hooks={"response": [self._hear]})

    def _hear(self, response: httpx2.Response) -> None:
        names = ("content-type", "retry-after", "request-id", "openai-version")
        told = {
            name: value
            for name, value in response.headers.items()
            if name in names or name.startswith(("anthropic-", "x-ratelimit-remaining-"))
        }
        self.answers.append((response.status_code, told, response.read()))


def with_anthropic(url: str, key: str, turns: int) -> Json:
    """Talk with Anthropic's client; odd turns are streamed."""
    heard = Heard()
    client = anthropic.Anthropic(base_url=url.removesuffix("/v1"), api_key=key, max_retries=0, http_client=heard)
    said: list[Json] = []
    options: Json = {
        "model": MODEL,
        "max_tokens": 100,
        "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        "tools": [{"name": "weather", "input_schema": {"type": "object"}}],
        "metadata": {"user_id": "tests"},
    }
    for turn in range(turns):
        text = f"{QUESTIONS[turn % 4]} {turn}"
        source = {"type": "base64", "media_type": "image/png", "data": PICTURE}
        parts = [{"type": "image", "source": source}, {"type": "text", "text": text}]
        question = {"role": "user", "content": parts if turn % 5 == 4 else text}
        while question:
            said.append(question)
            answer = _message(client, turn, messages=said, **options)
            said.append({"role": "assistant", "content": answer})
            results = [_result(part) for part in answer if part["type"] == "tool_use"]
            question = {"role": "user", "content": results} if results else {}
    client.messages.count_tokens(model=MODEL, messages=said)
    client.close()
    return {"answers": heard.answers, "messages": said}


def _message(client: anthropic.Anthropic, turn: int, **asked: Json) -> Json:
    if turn % 2 == 0:
        return [part.model_dump(exclude_none=True) for part in client.messages.create(**asked).content]
    with client.messages.stream(**asked) as stream:
        return [part.model_dump(exclude_none=True) for part in stream.get_final_message().content]


def _result(call: Json) -> Json:
    return {"type": "tool_result", "tool_use_id": call["id"], "content": f"rain for {json.dumps(call['input'])}"}


def with_responses(url: str, key: str, turns: int, *, follows: bool = False) -> Json:
    """Talk with OpenAI's client over Responses: all items each time, or only the new ones behind the last answer."""
    heard = Heard()
    client = openai.OpenAI(base_url=url, api_key=key, max_retries=0, http_client=heard)
    said: list[Json] = []
    latest = None
    for turn in range(turns):
        text = f"{QUESTIONS[turn % 4]} {turn}"
        picture = {"type": "input_image", "detail": "auto", "image_url": f"data:image/png;base64,{PICTURE}"}
        parts = [{"type": "input_text", "text": text}, picture]
        fresh: list[Json] = [{"role": "user", "content": parts if turn % 5 == 4 else text}]
        while fresh:
            said += fresh
            asked: Json = {"input": fresh if follows else said, "model": MODEL, "instructions": "Be brief."}
            if follows and latest:
                asked["previous_response_id"] = latest
            latest, output = _response(client, turn, asked)
            said += output
            fresh = [_output(item) for item in output if item["type"] == "function_call"]
    client.close()
    return {"answers": heard.answers, "messages": said}


def _response(client: openai.OpenAI, turn: int, asked: Json) -> tuple[str, Json]:
    if turn % 2 == 0:
        answer = client.responses.create(**asked)
    else:
        with client.responses.stream(**asked) as stream:
            answer = stream.get_final_response()
    return answer.id, [item.model_dump(exclude_none=True, exclude={"parsed_arguments"}) for item in answer.output]


def _output(call: Json) -> Json:
    return {"type": "function_call_output", "call_id": call["call_id"], "output": f"rain for {call['arguments']}"}


def with_gemini(url: str, key: str, turns: int) -> Json:
    """Talk with Google's client; odd turns are streamed, and their pieces sent back as they came."""
    root = url.removesuffix("/v1")
    said: list[Json] = []
    answers: list[Json] = []
    with genai.Client(api_key=key, http_options=types.HttpOptions(base_url=root)) as client:
        tool = {"function_declarations": [{"name": "weather", "description": "The weather."}]}
        config: Json = {
            "system_instruction": "Be brief.",
            "tools": [tool],
            "automatic_function_calling": {"disable": True},
        }
        for turn in range(turns):
            parts: list[Json] = [{"text": f"{QUESTIONS[turn % 4]} {turn}"}]
            if turn % 5 == 4:
                parts.insert(0, {"inline_data": {"mime_type": "image/png", "data": PICTURE}})
            while parts:
                said.append({"role": "user", "parts": parts})
                contents = _contents(client, turn, said, config)
                answers += contents
                said += [one["content"] for one in contents]
                parts = [
                    _response_part(part)
                    for one in contents
                    for part in one["content"]["parts"]
                    if "function_call" in part
                ]
        answers.append(client.models.count_tokens(model=MODEL, contents=said).total_tokens)
    return {"answers": answers, "messages": said}


def _contents(client: genai.Client, turn: int, said: list[Json], config: Json) -> list[Json]:
    if turn % 2 == 0:
        chunks = [client.models.generate_content(model=MODEL, contents=said, config=config)]
    else:
        chunks = list(client.models.generate_content_stream(model=MODEL, contents=said, config=config))
    told = [chunk.model_dump(mode="json", exclude_none=True, exclude={"sdk_http_response"}) for chunk in chunks]
    return [{"content": one["candidates"][0]["content"], "rest": one} for one in told]


def _response_part(part: Json) -> Json:
    call = part["function_call"]
    return {"function_response": {"name": call["name"], "response": {"output": f"rain for {call['args']}"}}}
