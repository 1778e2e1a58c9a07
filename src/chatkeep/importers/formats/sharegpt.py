"""ShareGPT's form of conversations, as data sets use it: `{"id", "conversations": [{"from", "value"}]}` per line.

Without an id, a digest of the conversation stands for it. Equal ids in one file are numbered, so no conversation is
lost to another.

Source: the data sets of that form, with the names of its speakers in Axolotl and LLaMA-Factory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Final

from chatkeep.core.model import Json, Session
from chatkeep.errors import BrokenInputError
from chatkeep.importers.importer import Reading
from chatkeep.importers.records import lenient_json
from chatkeep.importers.reports import Flaw
from chatkeep.importers.shaping import SOURCE, call_of, list_in, metadata_of, rest_of, text_in
from chatkeep.importers.sources import Source
from chatkeep.importers.threads.steps import content_from
from chatkeep.importers.threads.trees import Saying, SourceTree, TreeImporter, in_a_row

_ROLES: Final = {
    **dict.fromkeys(("human", "user"), "user"),
    **dict.fromkeys(("gpt", "assistant", "chatgpt", "bing", "bard", "model", "bot", "function_call"), "assistant"),
    **dict.fromkeys(("tool", "observation", "function_response", "function"), "tool"),
    "system": "system",
}
_LISTS: Final = ("conversations", "conversation", "items")


class ShareGptImporter(TreeImporter):
    """A file of conversations in ShareGPT's form."""

    name = "sharegpt"
    reason = "it has turns with `from` and `value`"

    def read(self, source: Source, reading: Reading) -> Iterator[Session | Flaw]:
        """Yield the sessions of a file; equal ids are numbered from its beginning on."""
        self._met: dict[int, int] = {}
        yield from super().read(source, reading)

    def is_tree(self, value: Json) -> bool:
        """Recognise a conversation by its speakers."""
        turns = _turns(value) if isinstance(value, dict) else []
        return bool(turns) and all(isinstance(turn, dict) and ("from" in turn or "value" in turn) for turn in turns[:3])

    def tree_of(self, raw: bytes) -> SourceTree:
        """Return a conversation, which has no branches."""
        value, told = lenient_json(raw)
        if not isinstance(value, dict) or not any(isinstance(value.get(name), list) for name in _LISTS):
            raise BrokenInputError("It has no list of `conversations`.")
        turns = {f"#{number}": turn for number, turn in enumerate(_turns(value), start=1)}
        given = value.get("id")
        is_given = isinstance(given, str | int) and given != ""
        digest = hashlib.blake2b(f"{given}".encode(errors="replace") if is_given else raw, digest_size=16)
        mark = int.from_bytes(digest.digest()[:8])
        count = self._met[mark] = self._met.get(mark, 0) + 1
        outside_id = (str(given) if is_given else digest.hexdigest()) + (f"#{count}" if count > 1 else "")
        rest = rest_of(value, "id", "title", "system", *_LISTS)
        system = text_in(value.get("system"))
        return SourceTree(
            name="sharegpt",
            id=outside_id,
            fields={
                "channel": "sharegpt",
                "title": text_in(value.get("title")) or None,
                "metadata": {SOURCE: {"format": "sharegpt", "id": outside_id, **rest}},
            },
            parents=in_a_row(["#system", *turns] if system else turns),
            said=lambda path: _said(path, {"#system": {"from": "system", "value": system}, **turns}, told),
        )


def _turns(value: dict[str, Json]) -> list[Json]:
    return next((turns for name in _LISTS if (turns := list_in(value.get(name)))), [])


def _said(path: Sequence[str], turns: dict[str, Json], told: tuple[str, ...]) -> Iterator[Saying]:
    for one in path:
        turn = turns[one]
        yield Saying(one, _message(turn) if isinstance(turn, dict) else {}, told)


def _message(turn: dict[str, Json]) -> dict[str, Json]:
    speaker = text_in(turn.get("from")) or text_in(turn.get("role"))
    value = turn.get("value", turn.get("content"))
    rest = rest_of(turn, "from", "value", "role", "content")
    if speaker not in _ROLES:
        rest["from"] = speaker
    fields: dict[str, Json] = {"role": _ROLES.get(speaker, "user"), "metadata": metadata_of(rest)}
    if speaker == "function_call":
        return {**fields, "content": None, "tool_calls": [call_of("call", "function", value)]}
    return {**fields, "content": content_from(value)}
