"""Where a resent history goes on with a stored session.

Clients of a model resend the whole conversation each time. What they resend is what was stored, near
enough: fields are dropped, answers trimmed, arguments encoded anew; so messages are compared in a *form*
that leaves out what does not tell one conversation from another.

All conversations that open alike make a tree, and every path from its opening to a leaf is one session.
The first to come has the *root* key. One that leaves a stored session, at an edit or a regeneration, is a
*fork*: its key is made from the root key and all that it says up to its first message of its own. So it
is found again without searching and without memory, by any process, and two that fork alike meet.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable, Sequence
from contextlib import suppress
from typing import Final

import msgspec
from msgspec import Struct

from chatkeep.core import completions
from chatkeep.core.keys import KEY_CHARS_MAX
from chatkeep.core.model import Draft, Json, Message, text_of
from chatkeep.core.reasoning import is_thought, without_reasoning

DIGEST_CHARS: Final = 12

Said = Message | Draft


class Common(Struct, frozen=True):
    """The stored messages that a conversation shares, and whether it may go on where they end."""

    messages: tuple[Message, ...]
    at_end: bool


def opening_key(prefix: str, asker: Sequence[str], drafts: Sequence[Draft]) -> str:
    """Return the root key of the conversations that open so: who asks, and all up to the first user message."""
    users = [place for place, said in enumerate(drafts) if said.role == "user"]
    opening = drafts[: users[0] + 1] if users else drafts
    digest = hashlib.sha256(msgspec.json.encode(list(asker)))
    return f"{prefix}{_digests(opening, digest)[-1]}"


def fork_key(root: str, said: Sequence[Said], attempt: int = 0) -> str:
    """Return the key of the fork whose first message of its own is the last of these.

    A key that turns out to be taken by another conversation is not tried again: `attempt` makes others.
    """
    digest = hashlib.sha256(msgspec.json.encode((root, attempt)))
    return _below(root, _digests(said, digest)[-1])


def deepest_fork(root: str, drafts: Sequence[Draft], stored: Container[str]) -> str | None:
    """Return the key among those stored of the fork that goes furthest with these messages."""
    digests = _digests(drafts, hashlib.sha256(msgspec.json.encode((root, 0))))
    return next((key for one in reversed(digests) if (key := _below(root, one)) in stored), None)


def forks_prefix(root: str) -> str:
    """Return what the keys of all forks of a root begin with."""
    return _below(root, "")


def common(stored: Sequence[Message], drafts: Sequence[Draft]) -> Common:
    """Return what two conversations share from their beginning.

    Answers that were cut off are passed over when the other conversation lacks them: a client that asks
    again does not send them.
    """
    shared: list[Message] = []
    for message in stored:
        if len(shared) == len(drafts):
            break
        if is_same(message, drafts[len(shared)]):
            shared.append(message)
        elif not _is_partial(message):
            return Common(tuple(shared), at_end=False)
    return Common(tuple(shared), at_end=True)


def is_same(stored: Message, said: Draft) -> bool:
    """Tell whether a message that came again is the stored one.

    Of an answer that was cut off, the client may have seen less than was stored.
    """
    if _plain(stored) == _plain(said):
        return True
    if _is_partial(stored) and said.role == "assistant" and "finish_reason" not in (said.metadata or {}):
        text = _text(said)
        return bool(text) and _text(stored).startswith(text)
    return bool(_form(stored) == _form(said))


def _plain(said: Said) -> tuple[Json, ...]:
    """Return all that a message may say, as it stands."""
    return said.role, said.content, said.tool_calls, said.tool_call_id, said.name


def _is_partial(stored: Message) -> bool:
    return bool((stored.metadata or {}).get("partial"))


def _form(said: Said) -> Json:
    """Return what tells a message from others: who says it, its words and parts, its calls or what it answers."""
    role = "system" if said.role == "developer" else said.role
    if said.tool_calls:  # they have ids of their own; the words beside them are often dropped
        return role, [_call(call) for call in said.tool_calls]
    parts = said.content if isinstance(said.content, list) else ()
    others = [
        part
        for part in parts
        if isinstance(part, dict)
        and not isinstance(part.get("text"), str)
        and not (role == "assistant" and is_thought(part))
    ]
    name = None if role == "assistant" else said.name
    text = _text(said)
    return role, text, others, said.tool_call_id, name, None if text else _unspoken(said)


def _text(said: Said) -> str:
    content = without_reasoning(said.content) if said.role == "assistant" else said.content
    return text_of(content).strip()


def _unspoken(said: Said) -> Json:
    """Return what stands in the place of words: a refusal, a call of the old kind, speech."""
    extra = (said.metadata or {}).get(completions.EXTRA)
    if not isinstance(extra, dict):
        return None
    audio = extra.get("audio")
    return extra.get("refusal"), extra.get("function_call"), audio.get("id") if isinstance(audio, dict) else None


def _call(call: Json) -> Json:
    """Return a call with its arguments decoded: clients encode them anew."""
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        return call
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            arguments = msgspec.json.decode(arguments)
    return call.get("id"), function.get("name"), arguments


def _digests(said: Iterable[Said], digest: hashlib._Hash) -> list[str]:
    """Return the digest of all that is said up to each message."""
    found = []
    for one in said:
        digest.update(msgspec.json.encode(_form(one), order="deterministic") + b"\n")
        found.append(digest.hexdigest()[:DIGEST_CHARS])
    return found


def _below(root: str, digest: str) -> str:
    return f"{root[: KEY_CHARS_MAX - DIGEST_CHARS - 1]}.{digest}"
