"""Measure what the recording proxy adds to a call: until the first token, for each token, and until the end.

    python bench/proxy.py [--protocol completions] [--rounds 200] [--words 50] [--pause 0] [--history 0 100 1000]

A model server (that of the tests) answers at once, or takes a pause before each word; one client asks it
directly and through Chatkeep in turn, over kept connections, so that both meet the same machine. Calls go on
with a conversation of so many messages that is stored already: a request brings it whole, and two messages are
new; with 0 each begins a conversation. Times in milliseconds, medians (and 99th percentiles) of one run.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from server import PORT, Server

_ROOT = Path(__file__).parents[1]
_WORDS_OF_A_MESSAGE = 50

Times = dict[str, list[float]]


class Spoken(NamedTuple):
    """A protocol: its path, its field with the messages, and a word of its events with text."""

    path: str
    items: str
    mark: bytes


PROTOCOLS = {
    "completions": Spoken("/v1/chat/completions", "messages", b'"content":"'),
    "messages": Spoken("/v1/messages", "messages", b"text_delta"),
    "responses": Spoken("/v1/responses", "input", b"output_text.delta"),
}


class Asker:
    """A kept connection to where a model answers."""

    def __init__(self, address: str, token: str, spoken: Spoken) -> None:
        """Take host:port, the token and the protocol."""
        self._spoken = spoken
        self._connection = http.client.HTTPConnection(address)
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self.times: Times = {"first token": [], "whole answer": [], "not streamed": []}

    def ask(self, messages: list[dict[str, str]], key: str) -> str:
        """Ask once in each way, and return the answer."""
        body = {"model": "small-model", "max_tokens": 100, self._spoken.items: messages}
        began = time.perf_counter()
        response = self._sent(json.dumps(body | {"stream": True}), key)
        said: list[str] = []
        for line in response:
            if line.startswith(b"data: {") and self._spoken.mark in line:
                if not said:
                    self.times["first token"].append(time.perf_counter() - began)
                said.append(_text_in(json.loads(line[6:])))
        self.times["whole answer"].append(time.perf_counter() - began)
        began = time.perf_counter()
        self._sent(json.dumps(body), f"{key}:whole").read()
        self.times["not streamed"].append(time.perf_counter() - began)
        return "".join(said)

    def _sent(self, body: str, key: str) -> http.client.HTTPResponse:
        self._connection.request("POST", self._spoken.path, body, self._headers | {"X-Session-Key": key})
        response = self._connection.getresponse()
        if response.status != 200:
            sys.exit(f"{response.status} {response.read()[:200]!r}")
        return response


def _text_in(event: dict[str, Any]) -> str:
    """Return the text of an event in any of the protocols."""
    if "choices" in event:
        return str(event["choices"][0]["delta"].get("content") or "")
    delta = event["delta"]
    return delta if isinstance(delta, str) else str(delta["text"])


def measure(direct: Asker, through: Asker, history: int, rounds: int) -> None:
    """Ask in turn, with conversations that go on after so many messages."""
    filler = " ".join(["word"] * _WORDS_OF_A_MESSAGE)
    messages = [{"role": ("user", "assistant")[place % 2], "content": f"{place} {filler}"} for place in range(history)]
    for number in range(rounds):
        messages.append({"role": "user", "content": f"question {number}"})
        text = direct.ask(messages, "")
        through.ask(messages, f"bench:{history}" if history else f"bench:new:{number}")
        messages.append({"role": "assistant", "content": text})
        if not history:
            messages.clear()


def tell(history: int, direct: Asker, through: Asker) -> None:
    """Print a line for each time."""
    for name, near in direct.times.items():
        far = through.times[name]
        near_ms, far_ms = statistics.median(near) * 1000, statistics.median(far) * 1000
        late = [statistics.quantiles(times, n=100)[98] * 1000 for times in (near, far)]
        print(
            f"{history:6} messages  {name:13} direct {near_ms:7.2f} ({late[0]:7.2f})  through {far_ms:7.2f} "
            f"({late[1]:7.2f})  added {far_ms - near_ms:6.2f}  ratio {far_ms / near_ms:5.2f}"
        )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--words", type=int, default=50, help="of each answer")
    parser.add_argument("--pause", type=float, default=0, help="seconds before each word")
    parser.add_argument("--history", type=int, nargs="+", default=[0, 100, 1000], help="messages before")
    parser.add_argument("--protocol", choices=PROTOCOLS, default="completions")
    chosen = parser.parse_args()
    spoken = PROTOCOLS[chosen.protocol]
    told = [sys.executable, "-m", "tests.chat.upstream", "--words", str(chosen.words), "--pause", str(chosen.pause)]
    model = subprocess.Popen(told, cwd=_ROOT, stdout=subprocess.PIPE, text=True)
    assert model.stdout is not None  # noqa: S101
    url = model.stdout.readline().strip()
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder), model_url=url)
        try:
            for history in chosen.history:
                direct, through = (
                    Asker(urlsplit(url).netloc, "any", spoken),
                    Asker(f"127.0.0.1:{PORT}", server.token, spoken),
                )
                measure(direct, through, history, chosen.rounds)
                tell(history, direct, through)
        finally:
            server.stop()
            model.terminate()
            model.wait(20)


if __name__ == "__main__":
    main()
