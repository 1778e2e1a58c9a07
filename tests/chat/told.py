"""What a made-up stream says: worked out of its acts, without its bytes and without any code of Chatkeep."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.chat.streams import FIELDS, NESTED, PLAIN_FIELDS, Act, Stream, bare_calls, indexes_of, whole_pieces

Call = tuple[str | None, str, str]
MARKED = re.compile(r"(?is)<(think|thinking|reasoning|thought)>(.*?)(?:</\1>|\Z)")


@dataclass
class Choice:
    """One of the answers that a stream gives."""

    index: int
    items: list[list[Any]] = field(default_factory=list)
    """Its content: what each part is, and its words or the part itself."""
    fields: dict[str, str] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    begun: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Of each call that comes in pieces its place, and how many came."""
    old_call: dict[str, str] = field(default_factory=dict)
    roles: list[Any] = field(default_factory=list)
    finish: str = ""
    has_failed: bool = False
    in_pieces: bool = True

    @property
    def has_said(self) -> bool:
        """Whether it says anything."""
        return bool(self.items or self.fields or self.calls or self.old_call)

    @property
    def runs(self) -> list[str]:
        """The words of the parts that have some, thinking left out."""
        return [words for kind, words in self.items if kind in ("text", "refusal")]

    @property
    def written(self) -> str:
        """The words as they were written, tags among them."""
        return "\n".join(filter(None, self.runs))

    @property
    def text(self) -> str:
        """The words of the answer."""
        return _apart(self.runs)[0]

    @property
    def thoughts(self) -> str:
        """The words of the thinking."""
        plain = [self.fields[name] for name in PLAIN_FIELDS if name in self.fields]
        found = "\n\n".join(dict.fromkeys(plain or self.fields.values()))
        parts = [words for kind, words in self.items if kind == "thought"]
        said = (words.strip() for words in (found, *parts, _apart(self.runs)[1]))
        return "\n\n".join(dict.fromkeys(filter(None, said)))

    @property
    def objects(self) -> list[Any]:
        """The parts that have no words."""
        return [part for kind, part in self.items if kind == "object"]

    def add(self, kind: str, words: Any) -> None:  # noqa: ANN401 - a part may be anything
        """Add to the last part, or another one."""
        if words == "" and self.in_pieces:
            return
        if self.in_pieces and kind != "object" and self.items and self.items[-1][0] == kind:
            self.items[-1][1] += words
        else:
            self.items.append([kind, words])


@dataclass
class Told:
    """What a stream says: the choice that is stored, what else there was, whether it is whole, and why not."""

    choice: Choice
    others: list[Choice]
    is_whole: bool = False
    code: str | None = None
    has_ended: bool = False
    usage: dict[str, int] | None = None


def told(stream: Stream) -> Told:
    """Return what a stream says."""
    choices: dict[int, Choice] = {}
    answer = Told(Choice(0), [])
    is_over = is_known = False
    for place, act in enumerate(stream.acts):
        if is_over:
            break
        is_known = is_known or act[0] in ("say", "whole") or (act[0] == "usage" and act[1].get("choices") == [])
        is_begun = stream.lacks_last_end and place == len(stream.acts) - 1
        answer.code = answer.code or _fault(act, is_begun=is_begun)
        is_over = act[0] in ("done", "error")
        if act[0] == "usage":
            answer.usage = {"prompt_tokens": act[2]}
        if act[0] == "error" and isinstance(act[1][1], dict) and "choices" in act[1][1]:
            choices.setdefault(0, Choice(0)).finish = "error"
        for choice, piece in _pieces(act, choices):
            _take(stream, choice, piece)
    in_order = sorted(choices.values(), key=lambda one: (one.index < 0, one.index))
    said = [one for one in in_order if one.has_said]
    answer.choice = said[0] if said else answer.choice
    answer.others = [
        one for one in in_order if one is not answer.choice and (one.has_said or one.finish or one.has_failed)
    ]
    is_done = any(act[0] == "done" for act in stream.acts)
    answer.has_ended = stream.frame == "lines" or (bool(choices) and all(one.finish for one in in_order))
    answer.has_ended = answer.has_ended or (is_done and not _errs_first(stream))
    answer.is_whole = bool(said) and answer.has_ended and answer.code is None
    if not answer.is_whole:
        answer.code = answer.code or _why(stream, answer, is_known=is_known or is_done, has_begun=bool(choices))
    return answer


def _errs_first(stream: Stream) -> bool:
    return next((act[0] == "error" for act in stream.acts if act[0] in ("error", "done")), False)


def _fault(act: Act, *, is_begun: bool) -> str | None:
    if act[0] == "garbage":
        return "model_cut_off" if is_begun and act[1] == b"{" else "model_unreadable"  # JSON without its end
    has_failed = act[0] == "say" and any(piece[0] == "fault" for _, piece in act[1])
    return "model_reported" if act[0] == "error" or has_failed else None


def _why(stream: Stream, answer: Told, *, is_known: bool, has_begun: bool) -> str:
    if not is_known and any(act[0] == "usage" for act in stream.acts):
        return "model_unreadable"
    return "model_silent" if answer.has_ended or not has_begun else "model_cut_off"


def _pieces(act: Act, choices: dict[int, Choice]) -> Iterator[tuple[Choice, Act]]:
    """Yield the pieces of an act, each with its choice."""
    if act[0] == "say":
        for (_, piece), index in zip(act[1], indexes_of([given for given, _ in act[1]]), strict=True):
            yield choices.setdefault(index, Choice(index)), piece
    elif act[0] == "whole":
        known: set[int] = set()
        for index, (_, said, finish) in zip(indexes_of([given for given, *_ in act[1]]), act[1], strict=True):
            place = max(known) + 1 if index in known else index
            known.add(place)
            choice = choices[place] = Choice(place, in_pieces=False)
            for piece in whole_pieces(said):
                yield choice, piece
            yield choice, ("finish", finish)


def _take(stream: Stream, choice: Choice, piece: Act) -> None:
    """Take in a piece of a choice."""
    kind, *rest = piece
    if kind == "finish":
        choice.finish = rest[0] or choice.finish
    elif kind == "fault":
        choice.has_failed = True
        choice.finish = "error" if rest[0] == "reason" else choice.finish
    elif kind == "think":
        for name in PLAIN_FIELDS if rest[0] == "both" else [rest[0]]:
            choice.fields[name] = choice.fields.get(name, "") + rest[1]
        choice.fields = {name: choice.fields[name] for name in FIELDS if name in choice.fields}
    elif kind == "role":
        choice.roles += [rest[0]] if rest[0] not in ("assistant", "", None, *choice.roles) else []
    elif kind in ("call", "bare", "old"):
        _call(stream, choice, piece)
    elif kind != "nothing":
        _content(choice, kind, *rest)


def _content(choice: Choice, kind: str, *rest: Any) -> None:  # noqa: ANN401 - a content of any type
    if kind == "mixed":
        for item in rest[0]:
            if item is not None:
                _content(choice, *_item(item))
    elif kind == "number":
        choice.add("text", json.dumps(rest[0]))
    elif kind == "text" and rest[0] == "parts":
        half = len(rest[1]) // 2
        choice.add("text", rest[1][:half])
        choice.add("text", rest[1][half:])
    else:
        choice.add(kind, rest[-1])


def _item(item: Any) -> Act:  # noqa: ANN401 - anything
    if isinstance(item, dict):
        return ("text", "part", item["text"]) if "text" in item else ("object", item)
    return ("object", {"unknown": NESTED}) if item == NESTED else ("text", "str", str(item))


def _call(stream: Stream, choice: Choice, piece: Act) -> None:
    kind, *rest = piece
    if kind == "old":
        named = {"name": "look"} if rest[0] else {}
        choice.old_call = {**choice.old_call, **named, "arguments": choice.old_call.get("arguments", "") + rest[1]}
    elif kind == "bare":
        choice.calls += [(None, name, "".join(arguments)) for name, arguments in bare_calls(*rest)]
    elif not choice.in_pieces:
        choice.calls.append((f"call_{rest[0]}", f"tool_{rest[0]}", "{}"))
    else:
        _call_on(stream, choice, rest[0])


def _call_on(stream: Stream, choice: Choice, number: int) -> None:
    """Let a call of a choice go on, or begin."""
    numbering, naming, pieces = stream.calls[number]
    if number not in choice.begun:
        choice.begun[number] = len(choice.calls), 0
        choice.calls.append((None if numbering == "no id" else f"call_{number}", "", ""))
    place, count = choice.begun[number]
    choice.begun[number] = place, count + 1
    name = "tool" if naming == "split" and not count else f"tool_{number}"
    choice.calls[place] = (choice.calls[place][0], name, "".join(pieces[: count + 1]))


def _apart(runs: list[str]) -> tuple[str, str]:
    """Return the text of an answer and what stands between tags at its beginning."""
    thought = ""
    for place, run in enumerate(runs):
        if not run.strip():
            continue
        rest, is_first = run, True
        while found := MARKED.match(rest.lstrip()):
            gap = rest[: len(rest) - len(rest.lstrip())]
            thought += ("" if is_first else gap) + found[2]
            rest, is_first = rest.lstrip()[found.end() :], False
        answer = rest if is_first else rest.lstrip()
        return "\n".join(filter(None, [*runs[:place], answer, *runs[place + 1 :]])), thought
    return "\n".join(filter(None, runs)), thought
