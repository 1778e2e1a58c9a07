"""Google's Gemini (`generateContent`) as our messages: requests in, answers in, whole or streamed.

Parts stay as they came, in their order: text, thinking and its signatures, function calls and their responses, media.
So a history can be given back exactly. One plain text alone becomes a string. A user's content of function responses
alone has the role `tool`.

A stream brings parts in pieces, and clients send these pieces back as contents of their own. So plain texts next to
each other are one text, and contents of the model next to each other one message; parts with a signature stay apart.

Source: the API reference of Gemini, and how the clients of `google-genai` keep their histories.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from chatkeep.core.checks import NAME_CHARS_MAX
from chatkeep.core.history import joining
from chatkeep.core.history.folding import CHOICES_MAX, ERROR_WORDS, Complaint
from chatkeep.core.history.joining import Flow
from chatkeep.core.history.mending import storable
from chatkeep.core.history.protocols.speaking import ModelProtocol
from chatkeep.core.model import Draft, Json
from chatkeep.core.standing import Role
from chatkeep.core.text.reasoning import TextPiece, is_thought

_EXTRA: Final = "gemini"  # name in a message's metadata of fields without a counterpart in our messages
_RESULT: Final = "functionResponse"
_SYSTEM: Final = ("systemInstruction", "system_instruction")
_ROLES: Final[dict[Json, Role]] = {"model": "assistant", "user": "user", "function": "user"}
_PLAIN: Final = {"role", "parts"}
_SPEAKERS: Final = ("user", "model")
_USUAL: Final = {"assistant": "model", "user": "user", "tool": "user"}
_CANDIDATE: Final = frozenset(("content", "finishReason", "index"))
_RESPONSE: Final = frozenset(("candidates", "usageMetadata", "modelVersion", "responseId", "error"))
_MARKS: Final = ("candidates", "promptFeedback", "usageMetadata", "modelVersion", "responseId")
_FURTHER: Final = CHOICES_MAX  # the index of the candidate for all further ones


class GenerationFold:
    """An answer, folded from the chunks of a stream or taken whole."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.facts: dict[str, Json] = {}
        """The server's facts about the answer: `model`, `response_id`, `usage`."""
        self.is_known = False
        """Whether a piece looked like one of this protocol."""
        self._is_ended = False
        self._candidates: dict[int, _Candidate] = {}
        self._response: dict[str, Json] = {}

    @property
    def has_ended(self) -> bool:
        """Whether the server ended the whole answer or every candidate, or refused the question."""
        is_finished = bool(self._candidates) and all(one.finish for one in self._candidates.values())
        return self._is_ended or is_finished or bool(self._blocked)

    @property
    def has_begun(self) -> bool:
        """Whether the answer has begun, even without content."""
        return self.is_known

    @property
    def has_said(self) -> bool:
        """Whether any candidate has content."""
        return any(one.has_said for one in self._candidates.values())

    @property
    def has_thought(self) -> bool:
        """Whether a part is thinking."""
        return any(one.has_thought for one in self._candidates.values())

    @property
    def has_spoken(self) -> bool:
        """Whether a part is another one than thinking."""
        return any(one.has_spoken for one in self._candidates.values())

    @property
    def finish_reason(self) -> str:
        """The finish reason of the first candidate, else why the question was refused; empty without either."""
        first = self._in_order()[:1]
        return (first[0].finish if first else "") or self._blocked

    def add(self, piece: Json) -> None:
        """Fold in a chunk, or a whole answer; a value other than an object adds nothing."""
        if not isinstance(piece, dict):
            return
        self.is_known = self.is_known or any(name in piece for name in _MARKS)
        for name, told in (("modelVersion", "model"), ("responseId", "response_id")):
            if isinstance(piece.get(name), str) and piece[name]:
                self.facts[told] = piece[name]
        usage = piece.get("usageMetadata")
        if isinstance(usage, dict):
            held = self.facts.setdefault("usage", {})
            held.update((name, value) for name, value in usage.items() if value is not None)
        candidates = piece.get("candidates")
        for place, one in enumerate(candidates if isinstance(candidates, list) else ()):
            if isinstance(one, dict):
                self._candidate(joining.index_of(one.get("index"), place)).add(one)
        joining.gather_facts(self._response, {name: value for name, value in piece.items() if name not in _RESPONSE})

    def add_beginning(self, text: str) -> None:
        """Take the words of a whole answer cut in the middle."""
        if text:
            self.add({"candidates": [{"content": {"parts": [{"text": text}], "role": "model"}}]})

    def complaint(self, piece: dict[str, Json], *, is_error: bool) -> Complaint | None:
        """Return the error in a piece, None if there is none."""
        is_bare = not any(name in piece for name in _MARKS) and any(piece.get(name) for name in ERROR_WORDS)
        if is_error or is_bare or piece.get("error"):
            return Complaint(piece.get("error") or piece, is_last=True)
        return None

    def end(self) -> None:
        """Note the end of the answer, even without a reason."""
        self._is_ended = True

    def close(self) -> None:
        """Do nothing: no part waits for more."""

    def take(self) -> list[TextPiece]:
        """Return nothing: chat speaks Chat Completions, so nobody reads this answer along."""
        return []

    def draft(self, metadata: Mapping[str, Json]) -> Draft | None:
        """Return the first candidate with content as a message, the others in its metadata; None without content."""
        said = [one for one in self._in_order() if one.has_said]
        if not said:
            return None
        first, *others = said
        facts: dict[str, Json] = {**self.facts, **metadata}
        if first.finish:
            facts["finish_reason"] = first.finish
        if others:
            facts["other_choices"] = [one.told() for one in others]
        beside = {"choice": first.beside, "response": self._response}
        facts |= {name: value for name, value in beside.items() if value}
        return storable(Draft(role="assistant", content=_plain(first.parts()), metadata=facts))

    @property
    def _blocked(self) -> str:
        """The reason why the server answers nothing, empty without one."""
        feedback = self._response.get("promptFeedback")
        reason = feedback.get("blockReason") if isinstance(feedback, dict) else None
        return reason if isinstance(reason, str) else ""

    def _candidate(self, index: int) -> _Candidate:
        index = max(0, min(index, _FURTHER))
        return self._candidates.setdefault(index, _Candidate(index))

    def _in_order(self) -> list[_Candidate]:
        return [one for _, one in sorted(self._candidates.items())]


class _Candidate:
    """One of the answers to a request, as far as it has arrived."""

    def __init__(self, index: int) -> None:
        self.finish = ""
        self.beside: dict[str, Json] = {}
        self.has_thought = self.has_spoken = False
        self._index = index
        self._parts: list[dict[str, Json]] = []

    @property
    def has_said(self) -> bool:
        return bool(self._parts)

    def add(self, candidate: Mapping[str, Json]) -> None:
        if isinstance(candidate.get("finishReason"), str):
            self.finish = candidate["finishReason"]
        content = candidate.get("content")
        parts = content.get("parts") if isinstance(content, dict) else None
        for part in parts if isinstance(parts, list) else ():
            one = part if isinstance(part, dict) else {"text": f"{part}"}
            self.has_thought = self.has_thought or is_thought(one)
            self.has_spoken = self.has_spoken or not is_thought(one)
            _put(self._parts, one)
        others = {name: value for name, value in candidate.items() if name not in _CANDIDATE and value is not None}
        self.beside |= others

    def parts(self) -> list[Json]:
        """Return the parts."""
        return [_whole(part) for part in self._parts]

    def told(self) -> dict[str, Json]:
        """Return the candidate, as it stands in the metadata of the first one."""
        finish = {"finish_reason": self.finish} if self.finish else {}
        index = None if self._index == _FURTHER else self._index
        return {"index": index, "role": "assistant", "content": _plain(self.parts()), **finish, **self.beside}


def draft_of_content(content: Mapping[str, Json]) -> Draft:
    """Return a content of a request as a message; fields that ours lack go to the metadata."""
    if content.keys() == _PLAIN and (text := _text_of(content["parts"])) is not None and content["role"] in _SPEAKERS:
        return Draft(role=_ROLES[content["role"]], content=text)
    extra = {name: value for name, value in content.items() if name not in ("role", "parts")}
    given, parts = content.get("role"), content.get("parts", content.get("content"))
    role = _ROLES.get(given, "user") if isinstance(given, str | None) else "user"
    if isinstance(parts, str):
        parts = [{"text": parts}]
    if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
        extra |= {"parts": parts} if parts is not None else {}
        parts = []
    call_id = None
    if role == "user" and parts and all(isinstance(part.get(_RESULT), dict) for part in parts):
        role = "tool"
        named = parts[0][_RESULT].get("id") if len(parts) == 1 else None
        is_label = isinstance(named, str) and 1 <= len(named) <= NAME_CHARS_MAX and named.isprintable()
        call_id = named if is_label else None
    if given not in (None, _USUAL[role]):
        extra["role"] = given
    kept = [dict(part) for part in parts]
    return Draft(role=role, content=_plain(kept), tool_call_id=call_id, metadata={_EXTRA: extra} if extra else None)


def gathered_contents(drafts: Sequence[Draft]) -> list[Draft]:
    """Join the model's messages that stand next to each other: the pieces of a stream, sent back."""
    found: list[Draft] = []
    for draft in drafts:
        if found and draft.role == found[-1].role == "assistant" and not (draft.metadata or found[-1].metadata):
            found[-1] = Draft(role="assistant", content=_plain(_joined((*_parts(found[-1]), *_parts(draft)))))
        elif draft.role == "assistant" and not draft.metadata and isinstance(draft.content, list):
            found.append(Draft(role="assistant", content=_plain(_joined(_parts(draft)))))
        else:
            found.append(draft)
    return found


def _text_of(parts: Json) -> str | None:
    """Return the text of one plain part, None for anything else; most contents are one."""
    part = parts[0] if isinstance(parts, list) and len(parts) == 1 else None
    text = part.get("text") if isinstance(part, dict) and len(part) == 1 else None
    return text if isinstance(text, str) else None


def _parts(draft: Draft) -> Sequence[Json]:
    content = draft.content
    return content if isinstance(content, list) else [{"text": content}] if content else []


def _joined(parts: Iterable[Json]) -> list[Json]:
    """Return the parts with plain texts next to each other joined, and without empty ones."""
    found: list[dict[str, Json]] = []
    for part in parts:
        _put(found, part if isinstance(part, dict) else {"text": f"{part}"})
    return [_whole(part) for part in found]


def _put(parts: list[dict[str, Json]], part: Mapping[str, Json]) -> None:
    """Add a part; a plain text goes on with the one before it."""
    if not _is_plain_text(part):
        parts.append(dict(part))
    elif parts and _is_plain_text(parts[-1]) and parts[-1].get("thought") == part.get("thought"):
        held = parts[-1]["text"]
        if isinstance(held, Flow):
            held.append(part["text"])
        else:
            parts[-1]["text"] = Flow((held, part["text"]))
    elif part["text"]:
        parts.append(dict(part))


def _whole(part: Mapping[str, Json]) -> dict[str, Json]:
    return {name: "".join(value) if isinstance(value, Flow) else value for name, value in part.items()}


def _is_plain_text(part: Mapping[str, Json]) -> bool:
    """Tell whether a part is a text of the answer or of the thinking, and nothing else."""
    is_text = isinstance(part.get("text"), str | Flow)
    return is_text and all(name == "text" or (name == "thought" and value is True) for name, value in part.items())


def _plain(parts: list[Json]) -> Json:
    """Return one plain text as its text, others as they are."""
    if len(parts) == 1 and parts[0].keys() == {"text"} and isinstance(parts[0]["text"], str):
        return parts[0]["text"]
    return parts or ""


def _opening(request: Mapping[str, Json]) -> list[Draft]:
    """Return the system instruction of a request as a message."""
    system = next((request[name] for name in _SYSTEM if request.get(name)), None)
    if system is None:
        return []
    content = system if isinstance(system, dict) else {"parts": system}
    parts = content.get("parts")
    draft = draft_of_content({"parts": parts if isinstance(parts, list | str) else [parts]})
    if not draft.content:
        return [Draft(role="system", content="", metadata={_EXTRA: {"systemInstruction": system}})]
    return [Draft(role="system", content=draft.content)]


GEMINI: Final = ModelProtocol(
    name="gemini",
    prefix="gemini:",
    path="models",
    kind="gemini",
    key_header="x-goog-api-key",
    items="contents",
    opening=_opening,
    draft=draft_of_content,
    gathered=gathered_contents,
    asker=lambda _: "",
    answer=GenerationFold,
    text_field=b"text",
    last_lines=(b"data:",),  # nothing marks the last event before its end, so each one is read whole
    marks_end=False,  # some servers put a finish reason into every chunk
    missing_end="a finish reason",
    takes_lists=True,
)
"""Google's Gemini."""
