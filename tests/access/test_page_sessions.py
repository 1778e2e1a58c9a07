"""Sessions of the page: good for one browser, for a while, and only as long as what they were made from."""

from __future__ import annotations

import hashlib
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from chatkeep.access.page_sessions import SESSIONS_PER_TOKEN, PageSessions, SignInCode
from chatkeep.access.tokens import TokenFile
from chatkeep.disk.private import PrivateFile
from chatkeep.errors import (
    NotFoundError,
    StorageDeniedError,
    StorageError,
    StorageFullError,
    StorageReadOnlyError,
    UnauthorizedError,
)

NOON = datetime(2024, 1, 15, 12, tzinfo=UTC)
DAY = timedelta(days=1)


class Clock:
    """A clock that a test sets."""

    now = NOON

    def __call__(self) -> datetime:
        """Return the time that it was set to."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Return a clock that stands at noon."""
    return Clock()


@pytest.fixture
def tokens(tmp_path: Path, clock: Clock) -> TokenFile:
    """Return an empty token file."""
    return TokenFile(tmp_path / "tokens.json", now=clock)


@pytest.fixture
def pages(tokens: TokenFile) -> PageSessions:
    """Return no sessions."""
    return PageSessions(tokens)


def is_good(pages: PageSessions, secret: str) -> bool:
    """Tell whether a secret opens a session."""
    try:
        pages.find(secret)
    except UnauthorizedError:
        return False
    return True


def test_open_makes_a_session_of_its_token(pages: PageSessions, tokens: TokenFile, tmp_path: Path) -> None:
    """It can do what the token can; its secret is another one, of which only the hash is kept, privately."""
    token_secret, token = tokens.create("mine", scopes=("read",), prefix="a:")
    secret, page = pages.open(token, browser="Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Firefox/130.0")
    assert (page, token) == pages.find(secret)
    assert "Firefox on Linux" == page.browser
    assert (page,) == pages.all()
    text = (tmp_path / "pages.json").read_text()
    assert secret not in text
    assert hashlib.sha256(secret.encode()).hexdigest() in text
    assert 0o600 == stat.S_IMODE((tmp_path / "pages.json").stat().st_mode)
    assert not is_good(pages, token_secret)
    with pytest.raises(UnauthorizedError):
        tokens.find(secret)


def test_open_by_a_link_may_do_everything(pages: PageSessions) -> None:
    """Who starts the server may; no token has to be there."""
    secret, page = pages.open(None)
    token = pages.find(secret)[1]
    assert (("admin",), "", page.id) == (token.scopes, token.prefix, token.id)


@pytest.mark.parametrize("end", ["ended", "ended by its secret", "idle", "revoked", "expired"])
def test_find_after_the_end_is_unauthorized(pages: PageSessions, tokens: TokenFile, clock: Clock, end: str) -> None:
    """It ends by itself, by hand, and with its token; other servers know at the next request."""
    lifetime = timedelta(hours=2) if end == "expired" else None
    _, token = tokens.create(lifetime=lifetime)
    kept, _ = pages.open(None)
    secret, page = pages.open(token)
    other = PageSessions(TokenFile(tokens.path, now=clock))
    assert is_good(other, secret)
    assert (page.created_at + (lifetime or 7 * DAY)) == page.expires_at
    if end == "idle":
        clock.now += 7 * DAY
    elif end == "expired":
        clock.now += timedelta(hours=2)
    elif end == "revoked":
        tokens.revoke(token.id)
    else:
        pages.end(page.id if end == "ended" else secret)
    assert not is_good(pages, secret)
    assert not is_good(other, secret)
    assert (end != "idle") == is_good(other, kept)


def test_renew_lets_a_session_in_use_last_for_thirty_days(pages: PageSessions, clock: Clock) -> None:
    """Visits keep it for thirty days, at the price of a write a day, and no longer."""
    secret, page = pages.open(None)
    writes = 0
    for _ in range(40 * 24):
        if not is_good(pages, secret):
            break
        known, token = pages.find(secret)
        if pages.is_due(known, token):
            writes += 1
            assert pages.renew(known).expires_at > known.expires_at
        clock.now += timedelta(hours=1)
    assert 29 * DAY < clock.now - page.created_at <= 30 * DAY
    assert writes <= 30


def test_renew_does_not_outlast_its_token(pages: PageSessions, tokens: TokenFile, clock: Clock) -> None:
    """A token that expires bounds what was made from it."""
    _, token = tokens.create(lifetime=9 * DAY)
    secret, page = pages.open(token)
    clock.now += 3 * DAY
    assert token.expires_at == pages.renew(page).expires_at
    clock.now += 6 * DAY
    assert not is_good(pages, secret)


def test_renew_after_the_end_is_unauthorized(pages: PageSessions) -> None:
    """A session that was ended elsewhere does not come back."""
    _, page = pages.open(None)
    pages.end(page.id)
    with pytest.raises(UnauthorizedError):
        pages.renew(page)
    assert () == pages.all()


def test_open_many_ends_the_oldest(pages: PageSessions, tokens: TokenFile) -> None:
    """So many browsers to a token: who signs in again and again fills no disk, and ends nobody else's sessions."""
    _, token = tokens.create()
    other, _ = pages.open(None)
    secrets = [pages.open(token)[0] for _ in range(SESSIONS_PER_TOKEN + 3)]
    assert [False] * 3 + [True] * SESSIONS_PER_TOKEN == [is_good(pages, secret) for secret in secrets]
    assert is_good(pages, other)


def test_open_forgets_what_has_ended(pages: PageSessions, tokens: TokenFile, clock: Clock) -> None:
    """Sessions that are good for nothing do not stay in the file."""
    _, token = tokens.create()
    pages.open(token)
    pages.open(None)
    tokens.revoke(token.id)
    clock.now += 8 * DAY
    _, page = pages.open(None)
    assert [page.id] == [
        one["id"] for one in msgspec.json.decode((tokens.path.parent / "pages.json").read_bytes())["pages"]
    ]


@pytest.mark.parametrize("refusal", [StorageFullError(), StorageReadOnlyError(), StorageDeniedError("pages.json")])
def test_open_while_the_disk_refuses_lasts_with_the_server(
    pages: PageSessions, tokens: TokenFile, monkeypatch: pytest.MonkeyPatch, refusal: StorageError
) -> None:
    """Who can read a full or read-only workspace can sign in to see it; the session is bounded and ended as others."""

    def refuse(*_: object) -> None:
        raise refusal

    written, _ = pages.open(None)
    _, token = tokens.create()
    monkeypatch.setattr(PrivateFile, "replace", refuse)
    secret, page = pages.open(token)
    assert (page, token) == pages.find(secret)
    assert page in pages.all()
    assert is_good(pages, written)
    assert not is_good(PageSessions(tokens), secret)
    secrets = [pages.open(None)[0] for _ in range(SESSIONS_PER_TOKEN + 2)]
    assert [False] * 2 + [True] * SESSIONS_PER_TOKEN == [is_good(pages, one) for one in secrets]
    assert is_good(pages, secret)
    again, other = pages.open(token, instead_of={page.id})
    assert (False, True) == (is_good(pages, secret), is_good(pages, again))
    assert other == pages.end(other.id)
    assert not is_good(pages, again)
    pages.leave(pages.find(written)[0])
    assert not is_good(pages, written)
    command = PageSessions(tokens)
    with pytest.raises(type(refusal)):
        command.end(command.all()[0].id)  # nobody is told that it is gone for good
    monkeypatch.undo()
    kept, _ = pages.open(token)
    assert is_good(PageSessions(tokens), kept)
    assert not is_good(PageSessions(tokens), written)


def test_open_instead_of_another_ends_that(pages: PageSessions) -> None:
    """A browser that signs in again has one session."""
    old, page = pages.open(None)
    new, _ = pages.open(None, instead_of={page.id})
    assert (False, True) == (is_good(pages, old), is_good(pages, new))


@pytest.mark.parametrize("name", ["", "nobody", "\udcff"])
def test_end_of_an_unknown_session_is_not_found(pages: PageSessions, name: str) -> None:
    """Nothing pretends to be ended."""
    pages.open(None)
    with pytest.raises(NotFoundError):
        pages.end(name)
    assert 1 == len(pages.all())


@pytest.mark.parametrize("secret", ["", "ckp_", "x" * 10_000, "\udcff", "\0"])
def test_find_of_anything_else_is_unauthorized(pages: PageSessions, secret: str) -> None:
    """No text is more than unauthorized."""
    pages.open(None)
    assert not is_good(pages, secret)


@pytest.mark.parametrize("broken", [b"", b"{", b"[]", b'{"pages":{}}', b'{"pages":[{"id":"x"}]}', b"\xff"])
def test_use_of_a_broken_file_fails_and_leaves_it(pages: PageSessions, tokens: TokenFile, broken: bytes) -> None:
    """A file that cannot be read is named, without its folder, and never overwritten."""
    path = tokens.path.with_name("pages.json")
    path.write_bytes(broken)
    for use in (lambda: pages.open(None), pages.all, lambda: pages.find("x"), lambda: pages.end("x")):
        with pytest.raises(StorageError, match=r"^pages\.json is damaged"):
            use()
    assert broken == path.read_bytes()


@pytest.mark.parametrize(
    "user_agent,browser",
    [
        (
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1 Safari/605.1.15",
            "Safari on macOS",
        ),
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/126.0 Safari/537.36 Edg/126.0", "Edge on Windows"),
        ("Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 Chrome/126.0 Mobile Safari/537.36", "Chrome on Android"),
        ("curl/8.5\x1b[31m\n" + "x" * 100, "curl/8.5?[31m?" + "x" * 46),
        ("", ""),
    ],
)
def test_open_keeps_what_the_browser_calls_itself(pages: PageSessions, user_agent: str, browser: str) -> None:
    """Short, and printable whatever it says."""
    assert browser == pages.open(None, browser=user_agent)[1].browser


def test_sign_in_code_is_good_once() -> None:
    """What it makes is made once."""
    code = SignInCode()
    text = code.unspent
    assert text is not None
    assert "made" == code.spend(text, lambda: "made")
    assert code.unspent is None
    with pytest.raises(UnauthorizedError):
        code.spend(text, pytest.fail)


@pytest.mark.parametrize("wrong", ["", "x", "\ud800", "a" * 256])
def test_sign_in_with_another_code_is_unauthorized(wrong: str) -> None:
    """Guessing makes nothing, and does not spend the code."""
    code = SignInCode()
    with pytest.raises(UnauthorizedError):
        code.spend(wrong, pytest.fail)
    assert code.unspent is not None


def test_sign_in_code_has_an_hour() -> None:
    """A link that lies around is worth nothing."""
    seconds = [100.0]
    code = SignInCode(clock=lambda: seconds[0])
    text = code.unspent
    assert text is not None
    seconds[0] += 3600
    assert code.unspent is None
    with pytest.raises(UnauthorizedError):
        code.spend(text, pytest.fail)


def test_sign_in_code_survives_a_disk_that_refuses(pages: PageSessions, tokens: TokenFile) -> None:
    """A code that made nothing is not spent."""
    code = SignInCode()
    text = code.unspent
    assert text is not None
    path = tokens.path.with_name("pages.json")
    path.write_text("{")
    with pytest.raises(StorageError):
        code.spend(text, lambda: pages.open(None))
    path.unlink()
    secret, _ = code.spend(text, lambda: pages.open(None))
    assert is_good(pages, secret)
