"""Recognition: the place where a resent history goes on with a stored session.

Clients of a model resend the whole conversation each time, and change it on the way. They drop fields, trim answers
and encode arguments anew. So messages are compared in a *form* without such details.

System prompts do not divide conversations that share an answer: a prompt may contain a clock. They do divide
conversations without a shared answer, as users may greet two agents alike.

All conversations with one opening make a tree. Each path from the opening to a leaf is one session. The first
conversation has the *root* key. A conversation that leaves a stored session, at an edit or a regeneration, is a
*fork*. The fork's key is made from the root key and its messages up to the first one of its own. So any process finds
it again without search or memory, and two equal forks meet.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable, Sequence
from contextlib import suppress
from itertools import takewhile
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from chatkeep.core.history import completions
from chatkeep.core.history.turns import PROMPT_ROLES, REPLACES
from chatkeep.core.keys import KEY_CHARS_MAX
from chatkeep.core.model import Draft, Json, Message, text_of
from chatkeep.core.text.reasoning import is_thought, without_reasoning

DIGEST_CHARS: Final = 12
_OF_SERVER: Final = ("_call", "_call_output", "_tool_result")
_COMPARED_CHARS: Final = 4096  # of instructions, from either end: a clock or a date is usually near one

AnyMessage = Message | Draft
_S = TypeVar("_S", Message, Draft)


class Common(Struct, frozen=True):
    """The stored messages that a conversation shares, and whether it may go on where they end.

    `talk_count` counts the conversation's own messages among them. System prompts never count: they may change.
    """

    messages: tuple[Message, ...]
    talk_count: int
    at_end: bool

    @property
    def has_answer(self) -> bool:
        """Whether they include an answer: then it is the same conversation under any instructions."""
        return any(message.role == "assistant" for message in self.messages)


def opening_key(prefix: str, asker: Sequence[str], drafts: Sequence[Draft]) -> str:
    """Return the root key of an opening: the asker, and the talk up to the first user message."""
    talk = talk_of(drafts)
    users = [place for place, said in enumerate(talk) if said.role == "user"]
    opening = talk[: users[0] + 1] if users else talk
    digest = hashlib.sha256(msgspec.json.encode(list(asker)))
    return f"{prefix}{([digest.hexdigest()[:DIGEST_CHARS], *_digests(opening, digest)])[-1]}"


def instructed_key(root: str, drafts: Sequence[Draft], attempt: int = 0) -> str:
    """Return the key of a conversation with the root's opening, but under other instructions."""
    digest = hashlib.sha256(msgspec.json.encode((root, "instructed", attempt)))
    return _below(root, ([digest.hexdigest()[:DIGEST_CHARS], *_digests(opening_prompts(drafts), digest)])[-1])


def talk_of(said: Sequence[_S]) -> list[_S]:
    """Return the messages without system prompts, as these do not tell conversations apart."""
    return [one for one in said if one.role not in PROMPT_ROLES]


def opening_prompts(said: Sequence[_S]) -> list[_S]:
    """Return the system prompts at the beginning."""
    return list(takewhile(lambda one: one.role in PROMPT_ROLES, said))


def prompts_in_force(stored: Sequence[Message]) -> list[Message]:
    """Return the system prompts in force: the opening ones, or their latest replacements."""
    found = opening_prompts(stored)
    was_replacing = False
    for message in stored[len(found) :]:
        is_replacing = message.role in PROMPT_ROLES and (message.metadata or {}).get(REPLACES) is True
        if is_replacing:
            found = [*found, message] if was_replacing else [message]
        was_replacing = is_replacing
    return found


def is_instructed_alike(stored: Sequence[Message], drafts: Sequence[Draft]) -> bool:
    """Tell whether a conversation opens under a session's instructions, the opening or the current ones."""
    forms = list(map(compared, opening_prompts(drafts)))
    return forms in (list(map(compared, opening_prompts(stored))), list(map(compared, prompts_in_force(stored))))


def likeness(stored: Sequence[Message], drafts: Sequence[Draft]) -> int:
    """Return how many characters two sets of instructions share, at most 4096 at either end."""
    before, now = ("\n".join(map(_text, said)) for said in (prompts_in_force(stored), opening_prompts(drafts)))
    most = min(len(before), len(now), _COMPARED_CHARS)
    begins = next((place for place in range(most) if before[place] != now[place]), most)
    rest = min(len(before), len(now), begins + _COMPARED_CHARS) - begins
    return begins + next((place for place in range(rest) if before[-1 - place] != now[-1 - place]), rest)


def may_be_instructed_alike(stored: Sequence[Message], drafts: Sequence[Draft]) -> bool:
    """Tell whether a trimmed request has no instructions, or the session's own with a summary or another clock."""
    shorter = min(sum(map(len, map(_text, said))) for said in (opening_prompts(drafts), prompts_in_force(stored)))
    return 2 * likeness(stored, drafts) >= min(shorter, _COMPARED_CHARS)


def news(stored: Sequence[Message], drafts: Sequence[Draft], talk_count: int) -> list[Draft]:
    """Return a conversation's new messages, given the number of its stored ones without system prompts.

    Changed system prompts come first, marked as replacements. Later prompts stay in their place, unless they are
    stored already.
    """
    if not stored:
        return list(drafts)
    opening = opening_prompts(drafts)
    known = [compared(message) for message in stored if message.role in PROMPT_ROLES]
    standing = list(map(compared, prompts_in_force(stored)))
    changed = [] if all(compared(one) in standing for one in opening) else opening
    fresh = [msgspec.structs.replace(one, metadata={**(one.metadata or {}), REPLACES: True}) for one in changed]
    for one in drafts[len(opening) :]:
        if one.role not in PROMPT_ROLES:
            talk_count -= 1
            if talk_count < 0:
                fresh.append(one)
        elif (form := compared(one)) not in known:
            known.append(form)
            fresh.append(one)
    return fresh


def fork_key(root: str, said: Sequence[AnyMessage], attempt: int = 0) -> str:
    """Return the key of the fork with the last of these messages as its first own one, system prompts aside.

    If another conversation has taken that key, a greater `attempt` makes another key.
    """
    digest = hashlib.sha256(msgspec.json.encode((root, attempt)))
    return _below(root, _digests((one for one in said if one.role not in PROMPT_ROLES), digest)[-1])


def deepest_fork(root: str, drafts: Sequence[Draft], stored: Container[str]) -> str | None:
    """Return the stored key of the fork that goes furthest with these messages, None if there is none."""
    digests = _digests(talk_of(drafts), hashlib.sha256(msgspec.json.encode((root, 0))))
    return next((key for one in reversed(digests) if (key := _below(root, one)) in stored), None)


def forks_prefix(root: str) -> str:
    """Return the common prefix of the keys of a root's forks."""
    return _below(root, "")


def common(stored: Sequence[Message], drafts: Sequence[Draft]) -> Common:
    """Return the common beginning of two conversations.

    A stored partial answer is skipped when the other conversation lacks it: a client asking again does not send it.
    """
    talk = talk_of(drafts)
    shared: list[Message] = []
    prompts: list[Message] = []
    count = 0
    for message in stored:
        if message.role in PROMPT_ROLES:
            prompts.append(message)
        elif count < len(talk) and is_same(message, talk[count]):
            shared += [*prompts, message]
            prompts = []
            count += 1
        elif not is_partial(message):
            return Common(tuple(shared), count, at_end=False)
    return Common(tuple(shared), count, at_end=True)


def is_same(stored: Message, said: Draft) -> bool:
    """Tell whether a resent message equals the stored one.

    The client may have seen only the beginning of a stored partial answer.
    """
    if _plain(stored) == _plain(said):
        return True
    if is_partial(stored) and said.role == "assistant" and "finish_reason" not in (said.metadata or {}):
        text = _text(said)
        return bool(text) and _text(stored).startswith(text)
    return bool(compared(stored) == compared(said))


def is_partial(stored: Message) -> bool:
    """Tell whether a stored answer was cut off."""
    return bool((stored.metadata or {}).get("partial"))


def compared(said: AnyMessage) -> Json:
    """Return a message's form for comparison: role, words and parts, its calls or the call it answers."""
    role = "system" if said.role == "developer" else said.role
    parts = said.content if isinstance(said.content, list) else ()
    used = list(filter(None, map(_use, parts))) if role == "assistant" else []
    if said.tool_calls or used:  # calls have ids of their own; clients often drop the words beside them
        return role, [*map(_call, said.tool_calls or ()), *used]
    others = [
        _part_form(part)
        for part in parts
        if isinstance(part, dict)
        and not isinstance(part.get("text"), str)
        and not (role == "assistant" and (is_thought(part) or part.get("type") == "refusal"))
    ]
    name = None if role == "assistant" else said.name
    text = _text(said)
    if role == "assistant" and text:
        others = [part for part in others if not _is_of_server(part)]
    return role, text, others, said.tool_call_id, name, None if text else _unspoken(said)


def _plain(said: AnyMessage) -> tuple[Json, ...]:
    """Return the compared fields of a message, unchanged."""
    return said.role, said.content, said.tool_calls, said.tool_call_id, said.name


def _text(said: AnyMessage) -> str:
    if said.role != "assistant":
        return text_of(said.content).strip()
    extra = (said.metadata or {}).get(completions.EXTRA)
    refusal = extra.get("refusal") if isinstance(extra, dict) else None
    text = text_of(without_reasoning(said.content)).strip()
    return text or (refusal.strip() if isinstance(refusal, str) else "")


def _unspoken(said: AnyMessage) -> Json:
    """Return the substitutes for words: a refusal, a call of the old kind, the id of speech."""
    extra = (said.metadata or {}).get(completions.EXTRA)
    if not isinstance(extra, dict):
        return None
    audio = extra.get("audio")
    return extra.get("refusal"), extra.get("function_call"), audio.get("id") if isinstance(audio, dict) else None


def _part_form(part: dict[str, Json]) -> Json:
    """Return a part for comparison, without its marks for a cache, as clients move these from turn to turn."""
    form = {name: value for name, value in part.items() if name != "cache_control" and value is not None}
    if part.get("type") == "tool_result":
        content = part.get("content")
        inner = content if isinstance(content, list) else ()
        told = [_part_form(one) for one in inner if isinstance(one, dict) and not isinstance(one.get("text"), str)]
        form["content"] = [text_of(content).strip() if isinstance(content, str | list) else content, told]
    return form


def _is_of_server(part: Json) -> bool:
    """Tell whether a part is a call or a result of the server's own tools; clients often drop these beside words."""
    kind = part.get("type") if isinstance(part, dict) else None
    return isinstance(kind, str) and (kind.startswith(("server_", "mcp_")) or kind.endswith(_OF_SERVER))


def _use(part: Json) -> Json:
    """Return the call in a part of Anthropic's or Gemini's, None if it is none."""
    if not isinstance(part, dict):
        return None
    if part.get("type") == "tool_use":
        return part.get("id"), part.get("name"), part.get("input")
    call = part.get("functionCall")
    return (call.get("id"), call.get("name"), call.get("args")) if isinstance(call, dict) else None


def _call(call: Json) -> Json:
    """Return a call with its arguments decoded, as clients encode them anew."""
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        return call
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        with suppress(msgspec.DecodeError, UnicodeError, RecursionError):
            arguments = msgspec.json.decode(arguments)
    return call.get("id"), function.get("name"), arguments


def _digests(said: Iterable[AnyMessage], digest: hashlib._Hash) -> list[str]:
    """Return, for each message, the digest of the conversation up to it."""
    found = []
    for one in said:
        digest.update(msgspec.json.encode(compared(one), order="deterministic") + b"\n")
        found.append(digest.hexdigest()[:DIGEST_CHARS])
    return found


def _below(root: str, digest: str) -> str:
    return f"{root[: KEY_CHARS_MAX - DIGEST_CHARS - 1]}.{digest}"
