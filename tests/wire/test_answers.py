"""The JSON of the API: nothing is lost on the way there and back, and every error has its status."""

from __future__ import annotations

import re
import sys
import unicodedata
from datetime import UTC, datetime, timedelta, timezone
from typing import TypeVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatkeep.core.checks import check_title
from chatkeep.core.history.windows import Window
from chatkeep.core.keys import parse_key
from chatkeep.core.model import (
    Appended,
    Draft,
    Header,
    Hit,
    Hits,
    KeyPage,
    Message,
    Page,
    Receipt,
    Revision,
    Status,
    Summary,
)
from chatkeep.errors import (
    BusyError,
    ChatkeepError,
    CountConflictError,
    InvalidError,
    InvalidKeyError,
    MessageConflictError,
    ModelCutOffError,
    ModelLimitedError,
    ModelUnsetError,
    RateLimitedError,
    SessionDamagedError,
    SessionNotFoundError,
    StorageFullError,
    TooLargeError,
)
from chatkeep.wire import answers, bodies, errors
from chatkeep.wire.hits import hit_page, hits_of
from chatkeep.wire.ready import ReadyAnswers

T = TypeVar("T")
AT = datetime(2024, 1, 15, 10, 30, 0, 123457, tzinfo=UTC)
HEADER = Header(
    key="a/b", channel="web", title="T", created_at=AT, archived=True, pinned=True, tags=("x", "y"), held=True
)
SUMMARY = Summary(
    header=HEADER,
    line_count=5,
    message_count=3,
    talk_count=2,
    title="T",
    preview="hi",
    updated_at=AT,
    damage="torn",
)
HIT = Hit(
    key="k",
    title="t",
    channel="c",
    updated_at=AT,
    seq=1,
    message_id="m",
    role="user",
    excerpt="hit",
    highlights=((0, 3),),
    match_count=1,
)
TIMES = st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - bounds are naive


def _every_error() -> list[type[ChatkeepError]]:
    kinds: list[type[ChatkeepError]] = [ChatkeepError]
    for kind in kinds:
        kinds.extend(kind.__subclasses__())
    return kinds


@pytest.mark.parametrize("kind", _every_error())
def test_every_error_has_a_status_an_exit_code_and_a_code_of_its_own(kind: type[ChatkeepError]) -> None:
    """No subclass is forgotten: 4xx or 5xx, a stable exit code, one class per code."""
    assert 400 <= answers.status_of(kind) < 600
    assert answers.exit_code_of(kind) in {1, 2, 3, 4, 5, 7}
    assert [other for other in _every_error() if other.code == kind.code] == [kind]


@pytest.mark.parametrize(
    "error,status,exit_code",
    [
        (InvalidKeyError("x"), 422, 2),
        (SessionNotFoundError("k"), 404, 3),
        (SessionDamagedError("k", "torn"), 409, 7),
        (CountConflictError(1, 2), 409, 4),
        (StorageFullError(), 507, 1),
        (BusyError(), 503, 1),
        (RateLimitedError(60, 5), 429, 5),
        (ModelCutOffError(), 502, 1),
        (ModelLimitedError(5), 503, 1),
    ],
)
def test_error_has_the_status_of_its_nearest_ancestor(error: ChatkeepError, status: int, exit_code: int) -> None:
    """A class that no table names is treated as its parent."""
    assert (answers.status_of(error), answers.exit_code_of(error)) == (status, exit_code)


@pytest.mark.parametrize(
    "error",
    [
        InvalidError("limit", "must be 1 to 500"),
        InvalidError("limit", "must be 1 to 500", others=[("q", "is missing"), ("since", "is no time")]),
        InvalidKeyError("must not be empty"),
        TooLargeError("body", 5),
        SessionNotFoundError("k"),
        MessageConflictError("m"),
        CountConflictError(1, 2),
        RateLimitedError(60, 5),
        RateLimitedError(600, 5, "model"),
        StorageFullError(),
        ModelUnsetError("model"),
        ModelLimitedError(5),
    ],
)
def test_error_comes_back_as_it_was(error: ChatkeepError) -> None:
    """The client raises the class that the server raised, with the same sentence and facts."""
    answer = msgspec.json.decode(answers.json_bytes(errors.problem(error)), type=errors.Problem)
    back = errors.error_of(answer, key="k")
    assert (type(back), str(back)) == (type(error), str(error))
    assert vars(error).items() <= vars(back).items()


def test_error_of_an_unknown_code_is_still_an_error() -> None:
    """A newer server may say what this client does not know."""
    back = errors.error_of(errors.Problem(detail="No.", status=418, code="teapot"))
    assert (type(back), str(back)) == (ChatkeepError, "No.")


@given(created=TIMES, updated=TIMES)
def test_session_comes_back_from_both_dialects_to_the_microsecond(created: datetime, updated: datetime) -> None:
    """RFC 3339 and Unix seconds both keep microseconds."""
    header = msgspec.structs.replace(HEADER, created_at=created, metadata={"a": [1]})
    summary = msgspec.structs.replace(SUMMARY, header=header, updated_at=updated)
    detail = msgspec.json.decode(answers.json_bytes(answers.session_detail(summary, AT)), type=answers.SessionDetail)
    assert answers.summary_of_detail(detail) == summary
    item = msgspec.json.decode(answers.json_bytes(answers.summary_item(summary)), type=answers.SessionItem)
    bare = msgspec.structs.replace(header, metadata={})
    assert answers.summary_of(item) == msgspec.structs.replace(summary, header=bare)


def test_age_is_never_negative_and_has_one_decimal() -> None:
    """A session from the future is 0 seconds old."""
    assert answers.session_detail(SUMMARY, AT - timedelta(days=1)).age_seconds == 0.0
    assert answers.session_detail(SUMMARY, AT + timedelta(seconds=1, milliseconds=260)).age_seconds == 1.3


def test_lists_and_answers_come_back_as_they_were() -> None:
    """Pages, keys, hits, receipts and counts survive the way to the client."""
    page = Page(sessions=(SUMMARY,), total=7, next_cursor="c")
    assert answers.page_of(_through(answers.session_page(page))) == page
    keys = KeyPage(keys=("a", "b"), total=2, next_cursor=None)
    assert answers.key_page_of(_through(answers.key_list(keys))) == keys
    hits = Hits(hits=(HIT,), mode="any", partial=True)
    assert hits_of(_through(hit_page(hits))) == hits
    appended = Appended(key="k", message_count=2, stored_count=1, receipts=(Receipt(seq=2, id="m", sent_at=AT),))
    assert answers.appended_of(_through(answers.append_answer(appended))) == appended
    status = Status(session_count=1, message_count=2, size_bytes=3, channels={"api": 1}, problems={"f": "torn"})
    assert answers.counts_of(_through(answers.status_answer(status, version="1", uptime_s=1.0, chat=False))) == status


def test_bodies_come_back_as_they_were() -> None:
    """What the client sends is what the server understands."""
    draft = Draft(role="tool", content=["x"], sent_at=AT, id="i", name="n", tool_call_id="t", metadata={"a": None})
    assert bodies.draft_of_body(_through(bodies.draft_body(draft))) == draft
    revision = Revision(title=None, tags=("a",), metadata={"a": None})
    assert bodies.revision_of(_through(bodies.revision_body(revision))) == revision


@pytest.mark.parametrize(
    "given_time,at",
    [
        (b"1705314600", datetime(2024, 1, 15, 10, 30, tzinfo=UTC)),
        (b"1705314600.123457", AT),
        (b"-1", datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)),
        (b'"2024-01-15T16:00:00.123457+05:30"', AT),
        (b"null", None),
    ],
)
def test_timestamp_is_a_time_or_unix_seconds(given_time: bytes, at: datetime | None) -> None:
    """Both name the same instant, in UTC inside."""
    body = msgspec.json.decode(b'{"role":"user","content":"x","timestamp":%b}' % given_time, type=bodies.DraftBody)
    assert bodies.draft_of_body(body).sent_at == at


@pytest.mark.parametrize(
    "text,duration",
    [
        ("30d", timedelta(days=30)),
        ("12h", timedelta(hours=12)),
        ("5m", timedelta(minutes=5)),
        ("90s", timedelta(0, 90)),
    ],
)
def test_duration_has_a_number_and_a_unit(text: str, duration: timedelta) -> None:
    """Days, hours, minutes, seconds."""
    assert bodies.parse_duration("older_than", text) == duration


@pytest.mark.parametrize("text", ["", "d", "30", "-1d", "1.5h", "1w", "٣d", "1" * 20 + "d", "1 d"])
def test_duration_of_another_form_is_refused(text: str) -> None:
    """The field is named."""
    with pytest.raises(InvalidError, match="older_than"):
        bodies.parse_duration("older_than", text)


def test_age_is_a_duration_or_a_time() -> None:
    """Both give the time before which something is old; a very long duration gives the earliest."""
    noon = datetime(2024, 1, 15, 12, tzinfo=timezone(timedelta(hours=1)))
    assert bodies.parse_age("older_than", "30d", AT) == AT - timedelta(days=30)
    assert bodies.parse_age("older_than", noon.isoformat(), AT) == noon
    assert bodies.parse_age("older_than", "999999999d", AT) == datetime.min.replace(tzinfo=UTC)


def test_pattern_of_keys_says_what_keys_may_be() -> None:
    """The OpenAPI document and `parse_key` agree about every character that this Python knows."""
    pattern = re.compile(bodies.KEY_SCHEMA["pattern"])
    for code in range(sys.maxunicode + 1):
        if unicodedata.category(chr(code)) not in {"Cs", "Cn"}:
            text = f"a{chr(code)}b"
            assert bool(pattern.search(text)) == _passes(parse_key, text), hex(code)


@given(st.text(st.sampled_from(" \t\n\x1c\x85a\u3000é\u2028\u200d\ufe0f\u200b\u202e\x1b"), max_size=210))
def test_pattern_of_titles_says_what_titles_may_be(text: str) -> None:
    """The OpenAPI document and `check_title` agree."""
    schema, components = msgspec.json.schema_components([bodies.TitleBody])
    pattern = components["TitleBody"]["properties"]["title"]["pattern"]
    assert schema
    assert bool(re.search(pattern, text)) == _passes(check_title, text)


def test_ready_answers_encode_the_same_value_once() -> None:
    """The same page is the same bytes; another page with the same content has bytes of its own."""
    ready = ReadyAnswers()
    page = Page(sessions=(), total=1, next_cursor=None)
    assert msgspec.json.encode(answers.session_page(page)) == ready.page(page)
    assert ready.page(page) is ready.page(page)
    assert ready.page(page) == ready.page(Page(sessions=(), total=1, next_cursor=None))
    assert b'"unreadable":2' in ready.page(page, 2)


def test_ready_answers_have_a_bound() -> None:
    """However many answers pass, each is right; a large one is not kept."""
    ready = ReadyAnswers()
    for number in range(200):
        page = Page(sessions=(), total=number, next_cursor=None)
        assert number == msgspec.json.decode(ready.page(page))["total"]
    said = Message(seq=1, role="user", content="x" * 100_000, sent_at=datetime(2026, 1, 1, tzinfo=UTC), id="m1")
    window = Window(messages=(said,), has_more=False)
    assert ready.window(window) is not ready.window(window)
    assert [msgspec.json.decode(ready.window(window))["messages"][0]] == msgspec.json.decode(ready.history(window))


def _passes(check: object, text: str) -> bool:
    try:
        assert callable(check)
        check(text)
    except InvalidError:
        return False
    return True


def _through(answer: T) -> T:
    """Return what the other side reads."""
    return msgspec.json.decode(msgspec.json.encode(answer), type=type(answer))
