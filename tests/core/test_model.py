"""The rules of values: what may come in, what it adds up to, and how headers change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatkeep.core.bounds import MESSAGE_BYTES_MAX, METADATA_BYTES_MAX
from chatkeep.core.checks import check_channel, check_metadata, check_tags, check_title, encoded_json
from chatkeep.core.digest import Digest, summary
from chatkeep.core.life.message_rules import check_draft
from chatkeep.core.model import Draft, Json, Message, Revision, Selection, text_of, utc
from chatkeep.errors import InvalidError, TooLargeError
from chatkeep.testing import NASTY_TEXTS, START, at, draft, session, talk

CALLS: list[Json] = [{"id": "c", "function": {"name": "f"}}]
json_texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
json_values: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | json_texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(json_texts, inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(json_texts, json_values, max_size=5)


@pytest.mark.parametrize(
    "said",
    [
        *(draft(text) for text in NASTY_TEXTS),
        draft([]),
        draft(["a", {"type": "text", "text": "b"}, {"type": "anything"}]),
        draft(None, role="assistant", tool_calls=CALLS),
        draft("", role="tool", tool_call_id="call 1", name="日本"),
        draft("x", metadata={"a": [1, 2.5, None, {"b": 2**70}]}),
        draft("x" * (MESSAGE_BYTES_MAX - 200)),
        draft("x", id="x" * 128),
    ],
)
def test_check_draft_takes(said: Draft) -> None:
    """Text of any kind, parts, and null beside tool calls may come in."""
    check_draft(said)


@pytest.mark.parametrize(
    "said,field",
    [
        (draft(None), "content"),
        (draft(None, tool_calls=[]), "content"),
        (draft([1]), "content"),
        (draft([["a"]]), "content"),
        (draft([None]), "content"),
        (draft("a\0b"), "content"),
        (draft([{"text": "a\0b"}]), "content"),
        (draft("x", metadata={"a\0": 1}), "metadata"),
        (draft("x", metadata={"a": ["\0"]}), "metadata"),
        (draft("\ud800"), "content"),
        (draft("x", metadata={"a": "\udfff"}), "metadata"),
        (draft("x", metadata={"a": float("nan")}), "metadata"),
        (draft([{"a": float("inf")}]), "content"),
        (draft("x", id="x" * 129), "id"),
        (draft("x", id="a\nb"), "id"),
        (draft("x", id="a\ud800"), "id"),
        (draft("x", name=""), "name"),
        (draft("x", name="\x7f"), "name"),
        (draft("x", tool_call_id="x" * 129), "tool_call_id"),
    ],
)
def test_check_draft_refuses(said: Draft, field: str) -> None:
    """What breaks a rule is refused by the name of its field."""
    with pytest.raises(InvalidError) as caught:
        check_draft(said)
    assert field == caught.value.field


def test_check_draft_refuses_large_ones() -> None:
    """A message has at most a mebibyte as JSON, however its characters are spelled there."""
    for text in ("x" * MESSAGE_BYTES_MAX, "東" * (MESSAGE_BYTES_MAX // 3 + 1), '"' * (MESSAGE_BYTES_MAX // 2 + 1)):
        with pytest.raises(TooLargeError):
            check_draft(draft(text))


def test_check_draft_refuses_large_metadata() -> None:
    """A message's metadata has at most 256 KiB as JSON; fields of other programs in it count with the message."""
    fitting = "x" * (METADATA_BYTES_MAX - len('{"a":""}'))
    check_draft(draft("x", metadata={"a": fitting, "openai": {"b": fitting}, "source": fitting}))
    check_draft(draft("", role="event", metadata={"a": f"{fitting}x"}))
    for metadata in (
        {"a": f"{fitting}x"},
        {"a": {"b": [fitting]}},
        {str(place): fitting[:1000] for place in range(300)},
    ):
        with pytest.raises(InvalidError) as caught:
            check_draft(draft("x", metadata=metadata))
        assert "metadata" == caught.value.field


def test_encoded_json_of_what_is_none() -> None:
    """Values that JSON has not are refused, and those that nest without end."""
    nested: list[Json] = []
    for _ in range(100_000):
        nested = [nested]
    for value in (object(), nested, float("-inf"), [float("nan")]):
        with pytest.raises(InvalidError):
            encoded_json("value", value)
    assert b'"\\\\u0000"' == encoded_json("value", "\\u0000")


@given(json_values)
def test_encoded_json_round_trip(value: Json) -> None:
    """JSON that is stored comes back in value and kind."""
    assert repr(value) == repr(msgspec.json.decode(encoded_json("value", value)))


@given(json_texts, objects, st.datetimes(timezones=st.just(UTC)))
def test_message_round_trip(text: str, metadata: dict[str, Json], sent_at: datetime) -> None:
    """A message comes back from its JSON as it was, to the microsecond."""
    message = Message(seq=1, role="user", content=text, sent_at=sent_at, id="a", metadata=metadata)
    assert message == msgspec.json.decode(msgspec.json.encode(message), type=Message)


def test_message_order_of_fields() -> None:
    """The JSON of a message begins with its place and leaves out what is not set."""
    message = session("a", [draft("Hi", id="m")]).messages[0]
    expected = b'{"seq":1,"role":"user","content":"Hi","timestamp":"2024-01-15T10:30:00Z","id":"m"}'
    assert expected == msgspec.json.encode(message)


@pytest.mark.parametrize(
    "content,text",
    [
        ("Hi\r\n", "Hi\r\n"),
        (None, ""),
        ([], ""),
        (["a", {"type": "text", "text": "b"}, {"type": "image_url"}, {"text": ""}, {"text": 1}], "a\nb"),
    ],
)
def test_text_of(content: str | list[Json] | None, text: str) -> None:
    """The words of a message are its string or its text parts."""
    assert text == text_of(content)


@pytest.mark.parametrize(
    "one,other,same",
    [
        (draft("a", 1, id="x"), draft("a", 2, id="y"), True),
        (draft("a"), draft("b"), False),
        (draft("a"), draft("a", role="assistant"), False),
        (draft("a"), draft(["a"]), False),
        (draft("a", tool_calls=[]), draft("a", metadata={}), True),
        (draft("a", metadata={"a": 1, "b": 2}), draft("a", metadata={"b": 2, "a": 1}), True),
        (draft("a", metadata={"a": 1}), draft("a", metadata={"a": True}), False),
        (draft("a", metadata={"a": 1}), draft("a", metadata={"a": 1.0}), False),
        (draft("a", name="n"), draft("a"), False),
    ],
)
def test_says_the_same(one: Draft, other: Draft, same: bool) -> None:  # noqa: FBT001 - one column of the table
    """Messages say the same when all that a client said is equal; time and id are not part of it."""
    assert same == session("a", [one]).messages[0].says_the_same(other)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["user", "assistant", "tool"]),
            json_texts | st.sampled_from(["/start", "[1]", "...", "Hello"]),
            st.integers(-9, 9),
        ),
        max_size=8,
    )
)
def test_digest_plus(said: list[tuple[str, str, int]]) -> None:
    """A digest is the same, whether its messages come one by one, in batches or all at once."""
    messages = session("a", [draft(text, seconds, role=role) for role, text, seconds in said]).messages  # type: ignore[arg-type]
    one_by_one = Digest()
    for message in messages:
        one_by_one = one_by_one.plus(message)
    assert one_by_one == Digest().plus(*messages)
    assert one_by_one == Digest().plus(*messages[:3]).plus(*messages[3:])
    assert len(messages) == one_by_one.message_count
    assert max((message.sent_at for message in messages), default=None) == one_by_one.latest_at


def test_summary_title() -> None:
    """The user's title wins over the first words, and those over none."""
    header = session("a").header
    digest = Digest().plus(*session("a", talk(2)).messages)
    assert "New Chat" == summary(header, Digest()).title
    assert "line 1" == summary(header, digest).title
    assert "Mine" == summary(msgspec.structs.replace(header, title="Mine"), digest).title
    assert (START, at(2)) == (summary(header, Digest()).updated_at, summary(header, digest).updated_at)


@pytest.mark.parametrize(
    "target,patch,merged",
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ({"a": "foo"}, {"b": None}, {"a": "foo"}),
    ],
)
def test_revision_of_metadata(target: dict[str, Json], patch: dict[str, Json], merged: dict[str, Json]) -> None:
    """Metadata is patched as RFC 7396, appendix A, shows it."""
    header = session("a", metadata=target).header
    assert merged == Revision(metadata=patch).applied_to(header).metadata
    assert target == header.metadata


def test_revision_of_metadata_beyond_its_limit() -> None:
    """The merged metadata counts, not the patch."""
    header = session("a", metadata={"a": "x" * (METADATA_BYTES_MAX - 20)}).header
    with pytest.raises(InvalidError):
        Revision(metadata={"b": "y" * 20}).applied_to(header)
    assert {} == Revision(metadata={"a": None}).applied_to(header).metadata


def test_revision_leaves_the_rest() -> None:
    """What is unset stays; None takes a title away."""
    header = session("a", title="Mine", tags=("x",), pinned=True).header
    assert header == Revision().applied_to(header)
    assert msgspec.structs.replace(header, title=None) == Revision(title=None).applied_to(header)
    assert msgspec.structs.replace(header, archived=True) == Revision(archived=True).applied_to(header)


@pytest.mark.parametrize(
    "prefixes,prefix",
    [
        ((), ""),
        (("",), ""),
        (("a",), "a"),
        (("a", "a:b", ""), "a:b"),
        (("a", "b"), None),
        (("a:b", "a:c"), None),
    ],
)
def test_selection_prefix(prefixes: tuple[str, ...], prefix: str | None) -> None:
    """Of prefixes that can all begin one key, the longest stands for all; others select nothing."""
    assert prefix == Selection(prefixes=prefixes).prefix


def test_check_title() -> None:
    """A title is trimmed, on one line, and has 1 to 200 characters of which some can be seen."""
    assert "A title on lines" == check_title("A title \r\n\ton\u2028lines")
    assert "a  b\u00a0! 👩\u200d🚀" == check_title("a  b\u00a0! 👩\u200d🚀")
    for title in ("\u200b", "\u200d", "\ufe0f \u3164", "a\u202eb", "a\x1bb"):
        with pytest.raises(InvalidError):
            check_title(title)
    assert "Mine" == check_title("  Mine\n")
    assert "東" * 200 == check_title("東" * 200)
    for title in ("", " \n", "x" * 201, "a\0b", "\ud800"):
        with pytest.raises(InvalidError):
            check_title(title)


def test_check_metadata() -> None:
    """Metadata has at most 256 KiB."""
    check_metadata({"a": "x" * (METADATA_BYTES_MAX - 8)})
    for metadata in ({"a": "x" * (METADATA_BYTES_MAX - 7)}, {"\0": 1}, {"a": "\ud800"}, {"a": float("nan")}):
        with pytest.raises(InvalidError):
            check_metadata(metadata)


def test_check_tags() -> None:
    """Tags keep their order, lose repetitions, and are short text."""
    assert ("b", "a") == check_tags(("b", "a", "b"))
    for tags in (("",), (" a",), ("x" * 65,), ("a\n",), ("a\0b",), ("\ud800",), tuple(map(str, range(65)))):
        with pytest.raises(InvalidError):
            check_tags(tags)


def test_check_channel() -> None:
    """A channel is short text."""
    assert "google_chat" == check_channel("google_chat")
    for channel in ("", " ", "a ", "x" * 65, "a\nb", "\ud800"):
        with pytest.raises(InvalidError):
            check_channel(channel)


def test_utc() -> None:
    """Times are brought to UTC; without an offset they are UTC; beyond the calendar they are refused."""
    assert START == utc(datetime(2024, 1, 15, 12, 30, tzinfo=timezone(timedelta(hours=2))))
    assert START == utc(datetime(2024, 1, 15, 10, 30))  # noqa: DTZ001 - it is about times without one
    assert UTC is utc(START).tzinfo
    for edge, hours in ((datetime.min, 1), (datetime.max, -1)):  # noqa: DTZ901 - the offset comes next
        with pytest.raises(InvalidError):
            utc(edge.replace(tzinfo=timezone(timedelta(hours=hours))))
