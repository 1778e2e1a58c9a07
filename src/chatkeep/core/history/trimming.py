"""Trimming: the place of a request in a stored history when its client leaves out older messages.

Clients keep within a model's window in several ways. They send the last messages alone, or the first ones and the last
ones, with or without the system prompt, or a summary in place of the rest. `overlap` finds the messages that such a
request shares with a session, and `whole` puts back the stored messages that it leaves out. From there on it is an
ordinary request.

A *stand-in* is a message that stands where others were left out: a summary, or a note. It is stored once, marked in its
metadata, behind the messages that it stands for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from chatkeep.core.history.recognition import common, compared, is_partial, is_same, opening_prompts, talk_of
from chatkeep.core.history.turns import PROMPT_ROLES
from chatkeep.core.model import Draft, Message

STANDS_IN: Final = "stands_for_earlier"
"""Name in the metadata of a message: true when its client sent it in place of earlier messages."""

_STAND_INS_MAX: Final = 2  # messages: a summary, and a word to acknowledge it
_SURE_ANSWERS: Final = 2  # answers in a row that two conversations hardly share by chance
_FORM_BYTES: Final = 16  # bytes of a digest
_SURE_CHARS: Final = 200  # characters of the shared words that hardly stand in two conversations


class Overlap(Struct, frozen=True, order=True):
    """The messages shared by a trimmed request and a session. The greater of two is the better.

    In the request without its system prompts, `count` messages from `begin` on are shared. The last one is the stored
    message `seq`; `is_tail` says that nothing was said behind it. `new_count` messages before them are stand-ins.
    """

    is_tail: bool
    count: int
    answer_count: int
    chars: int
    seq: int
    begin: int
    new_count: int

    def is_apart_from(self, head: int) -> bool:
        """Whether the overlap says more than the `head` messages that request and session begin with."""
        return self.count > 1 and self.answer_count > 0 and (self.begin >= head or self.count > head)

    @property
    def is_sure(self) -> bool:
        """Whether the overlap is long enough without a name: two conversations hardly share so much by chance."""
        is_long = self.answer_count >= _SURE_ANSWERS or (self.answer_count > 0 and self.chars >= _SURE_CHARS)
        return self.is_tail and is_long and self.new_count <= _STAND_INS_MAX


def overlap(stored: Sequence[Message], drafts: Sequence[Draft]) -> Overlap | None:
    """Return the messages that a trimmed request shares with a session; None if it does not go on with the session.

    Best is the longest run up to the session's end, wherever it stands in the request. Otherwise the request begins
    with messages from the middle of the session, an answer among them: its client edits, or asks again. A request with
    the session's own beginning is trimmed only if it also has two or more messages of its end, an answer among them.
    Cost: one look at each message.
    """
    talk = talk_of(drafts)
    lines = _comparable(stored, talk)
    known = {form for _, form in lines}
    forms = [_form(one) for one in talk]
    begins_alike = common(stored, drafts).talk_count
    tail = _tail(lines, talk, forms)
    if tail is not None and (not begins_alike or tail.is_apart_from(begins_alike)):
        return _with_news(tail, forms, stored)
    first = next((place for place, form in enumerate(forms[: _STAND_INS_MAX + 1]) if form in known), None)
    if begins_alike or first is None:
        return None
    found = _inner(lines, talk, forms, first)
    return _with_news(found, forms, stored) if found.answer_count and found.count > 1 else None


def whole(stored: Sequence[Message], drafts: Sequence[Draft], found: Overlap | None) -> list[Draft]:
    """Return a trimmed request with the stored messages that it leaves out; without an overlap, behind all of them."""
    before = [message for message in stored if found is None or message.seq <= found.seq]
    earlier = [again(message) for message in before]
    prompts = opening_prompts(drafts)
    opening = opening_prompts(earlier)
    known = {_form(message) for message in stored}
    stand_ins, rest = _parted(drafts[len(prompts) :], found)
    marked = [_stand_in(one) for one in stand_ins if _form(one) not in known]
    return [*(prompts or opening), *earlier[len(opening) :], *marked, *rest]


def again(message: Message) -> Draft:
    """Return a stored message as the client sent it."""
    fields = msgspec.structs.asdict(message)
    del fields["seq"], fields["extra"]
    return Draft(**fields | {"id": None, "sent_at": None, "stored_at": None, "drops": None})


def _parted(drafts: Sequence[Draft], found: Overlap | None) -> tuple[list[Draft], list[Draft]]:
    """Return the messages before the shared ones, with prompts from among those, and the messages behind them."""
    if found is None:
        return [], list(drafts)
    before, rest, place = [], [], 0
    for one in drafts:
        is_prompt = one.role in PROMPT_ROLES
        if place >= found.begin + found.count:
            rest.append(one)
        elif is_prompt or place < found.begin:
            before.append(one)
        place += not is_prompt
    return before, rest


def _stand_in(draft: Draft) -> Draft:
    if draft.role in PROMPT_ROLES:
        return draft
    return msgspec.structs.replace(draft, metadata={**(draft.metadata or {}), STANDS_IN: True})


def _comparable(stored: Sequence[Message], talk: Sequence[Draft]) -> list[tuple[Message, bytes]]:
    """Return the talk of a session with its forms, without stand-ins and the partial answers that a request lacks."""
    lines = [message for message in talk_of(stored) if not (message.metadata or {}).get(STANDS_IN)]
    whole_forms = [(message, b"" if is_partial(message) else _form(message)) for message in lines]
    known = {form for _, form in whole_forms}
    strange = [one for one in talk if one.role == "assistant" and _form(one) not in known]

    def found() -> Iterator[tuple[Message, bytes]]:
        for message, form in whole_forms:
            if form:
                yield message, form
            elif (same := next((one for one in strange if is_same(message, one)), None)) is not None:
                yield message, _form(same)

    return list(found())


def _tail(lines: Sequence[tuple[Message, bytes]], talk: Sequence[Draft], forms: Sequence[bytes]) -> Overlap | None:
    """Return the longest run of a request that a session ends with; of equal ones the last."""
    if not lines:
        return None
    backwards = [form for _, form in reversed(lines)]
    lengths = _runs(backwards, forms[::-1])
    count, ahead = max((length, -place) for place, length in enumerate(lengths)) if lengths else (0, 0)
    if not count:
        return None
    end = len(forms) + ahead
    return _overlap(lines[-count:], talk[end - count : end], end - count, is_tail=True)


def _inner(
    lines: Sequence[tuple[Message, bytes]], talk: Sequence[Draft], forms: Sequence[bytes], first: int
) -> Overlap:
    """Return the longest run of a session that a request has from `first` on; of equal ones the last."""
    lengths = _runs(forms[first:], [form for _, form in lines])
    count, place = max((length, place) for place, length in enumerate(lengths))
    return _overlap(
        lines[place : place + count], talk[first : first + count], first, is_tail=place + count == len(lines)
    )


def _overlap(shared: Sequence[tuple[Message, bytes]], talk: Sequence[Draft], begin: int, *, is_tail: bool) -> Overlap:
    answers = sum(message.role == "assistant" for message, _ in shared)
    chars = sum(len(message.text) for message, _ in shared)
    return Overlap(is_tail, len(talk), answers, chars, shared[-1][0].seq, begin, 0)


def _with_news(found: Overlap, forms: Sequence[bytes], stored: Sequence[Message]) -> Overlap:
    """Return an overlap with the number of messages before it that the session lacks."""
    known = {_form(message) for message in stored}
    return msgspec.structs.replace(found, new_count=sum(form not in known for form in forms[: found.begin]))


def _runs(pattern: Sequence[bytes], forms: Sequence[bytes]) -> list[int]:
    """Return, for each place of `forms`, how many of them are the beginning of `pattern`, in linear time.

    Source: the Z algorithm, over the pattern, a form that is none, and the forms.
    """
    both = [*pattern, b"", *forms]
    lengths = [0] * len(both)
    left = right = 0
    for place in range(1, len(both)):
        length = min(right - place, lengths[place - left]) if place < right else 0
        while place + length < len(both) and both[length] == both[place + length]:
            length += 1
        if place + length > right:
            left, right = place, place + length
        lengths[place] = length
    return lengths[len(pattern) + 1 :]


def _form(said: Message | Draft) -> bytes:
    """Return the digest of a message's form for comparison: short, as a session may have megabytes."""
    form = msgspec.json.encode(compared(said), order="deterministic")
    return hashlib.blake2b(form, digest_size=_FORM_BYTES).digest()
