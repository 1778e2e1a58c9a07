"""Tokens: made once, found in constant time, revoked at once, never lost to a broken file."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from chatkeep.access.tokens import TokenFile
from chatkeep.disk import private
from chatkeep.errors import BusyError, InvalidError, NotFoundError, StorageError, UnauthorizedError

NOON = datetime(2024, 1, 15, 12, tzinfo=UTC)


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
def path(tmp_path: Path) -> Path:
    """Return the place of a token file that does not exist yet, in a folder that neither does."""
    return tmp_path / "workspace" / "tokens.json"


@pytest.fixture
def tokens(path: Path, clock: Clock) -> TokenFile:
    """Return an empty token file."""
    return TokenFile(path, now=clock)


def test_create_returns_a_secret_that_finds_the_token(tokens: TokenFile) -> None:
    """A secret is `ck_` and 43 letters; it finds what was made."""
    secret, token = tokens.create("laptop", scopes=("read",), prefix="telegram:", rate=600)
    assert re.fullmatch(r"ck_[A-Za-z0-9_-]{43}", secret)
    assert token == tokens.find(secret)
    assert (token,) == tokens.all()
    assert ("laptop", ("read",), "telegram:", NOON, None, 600) == (
        token.name,
        token.scopes,
        token.prefix,
        token.created_at,
        token.expires_at,
        token.rate,
    )


def test_create_without_scopes_lets_read_and_write(tokens: TokenFile) -> None:
    """What is not asked for is not given: neither deleting nor administration."""
    assert ("read", "write") == tokens.create()[1].scopes


def test_create_stores_no_secret(tokens: TokenFile, path: Path) -> None:
    """The file holds a hash of the secret only."""
    secret, _ = tokens.create()
    assert secret not in path.read_text()
    assert hashlib.sha256(secret.encode()).hexdigest() in path.read_text()


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_create_keeps_the_file_private_whatever_the_umask(tokens: TokenFile, path: Path, umask: int) -> None:
    """The file and its lock are 0600, and nothing else is left beside them."""
    before = os.umask(umask)
    try:
        tokens.create()
        tokens.create()
    finally:
        os.umask(before)
    modes = {found.name: stat.S_IMODE(found.stat().st_mode) for found in path.parent.iterdir()}
    assert {"tokens.json": 0o600, "tokens.lock": 0o600} == modes
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_create_first_makes_one_administrator(tokens: TokenFile) -> None:
    """The first token may do everything; there is no second first token."""
    made = tokens.create_first()
    assert made is not None
    assert ("admin",) == tokens.find(made[0]).scopes
    assert tokens.create_first() is None
    assert (made[1],) == tokens.all()


def test_create_first_in_many_processes_makes_one(path: Path) -> None:
    """Of servers that start together exactly one prints a token."""
    program = (
        "import pathlib, sys; from chatkeep.access.tokens import TokenFile;"
        "print(TokenFile(pathlib.Path(sys.argv[1])).create_first() is not None)"
    )
    command = [sys.executable, "-c", program, str(path)]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    answers = [process.communicate(timeout=60)[0].strip() for process in started]
    assert ["False", "False", "False", "True"] == sorted(answers)


def test_create_in_many_processes_loses_none(path: Path) -> None:
    """Every token that was made is in the file."""
    program = (
        "import pathlib, sys; from chatkeep.access.tokens import TokenFile;"
        "[TokenFile(pathlib.Path(sys.argv[1])).create() for _ in range(10)]"
    )
    started = [subprocess.Popen([sys.executable, "-c", program, str(path)]) for _ in range(3)]
    assert [0, 0, 0] == [process.wait(timeout=60) for process in started]
    assert len({token.id for token in TokenFile(path).all()}) == 30


@pytest.mark.parametrize(
    "secret",
    ["", " ", "ck_", "x", "ключ", "\udcff", "\0", "x" * 10_000, "é" * 43],
    ids=["empty", "space", "mark", "short", "cyrillic", "surrogate", "nul", "10 kB", "latin-1"],
)
def test_find_of_anything_else_is_unauthorized(tokens: TokenFile, secret: str) -> None:
    """No text is more than unauthorized."""
    tokens.create()
    with pytest.raises(UnauthorizedError):
        tokens.find(secret)


def test_find_without_a_file_is_unauthorized(tokens: TokenFile) -> None:
    """No tokens, no entry."""
    with pytest.raises(UnauthorizedError):
        tokens.find("ck_x")


def test_find_of_the_stored_hash_is_unauthorized(tokens: TokenFile) -> None:
    """Who can read the file still has no secret."""
    _, token = tokens.create()
    with pytest.raises(UnauthorizedError):
        tokens.find(token.sha256)


def test_find_after_the_expiry_is_unauthorized(tokens: TokenFile, clock: Clock) -> None:
    """A token is good until its time, and not at it."""
    secret, token = tokens.create(lifetime=timedelta(seconds=90))
    clock.now = NOON + timedelta(seconds=89)
    assert token == tokens.find(secret)
    clock.now = NOON + timedelta(seconds=90)
    with pytest.raises(UnauthorizedError):
        tokens.find(secret)
    assert (token,) == tokens.all()


def test_find_sees_what_others_changed(tokens: TokenFile, path: Path) -> None:
    """A running server knows new tokens and forgets revoked ones at the next request."""
    server = TokenFile(path)
    secret, token = tokens.create()
    assert token == server.find(secret)
    tokens.revoke(token.id)
    with pytest.raises(UnauthorizedError):
        server.find(secret)


def test_find_reads_an_unchanged_file_once(tokens: TokenFile, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request costs a look at the file's stamp, not its bytes."""
    secret, _ = tokens.create()
    tokens.find(secret)
    path.chmod(0o000)
    monkeypatch.setattr(private, "_file_bytes", pytest.fail)
    tokens.find(secret)


def test_find_among_many_compares_one(tokens: TokenFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a request costs does not grow with the tokens that there are."""
    tokens.create("first")
    contents = msgspec.json.decode(tokens.path.read_bytes())
    (first,) = contents["tokens"]
    others = [{**first, "id": f"{n:012x}", "sha256": hashlib.sha256(b"%d" % n).hexdigest()} for n in range(10_000)]
    tokens.path.write_bytes(msgspec.json.encode({**contents, "tokens": [*others, first]}))
    secret, token = tokens.create("last")
    assert token == tokens.find(secret)
    compared: list[str] = []

    def compare(one: str, other: str) -> bool:
        compared.append(one)
        return one == other

    monkeypatch.setattr("chatkeep.access.tokens.hmac.compare_digest", compare)
    assert token == tokens.find(secret)
    assert 10_002 == len(tokens.all())
    with pytest.raises(UnauthorizedError):
        tokens.find("ck_wrong")
    assert [token.sha256] == compared


def test_find_of_what_was_made_for_a_cookie_is_unauthorized(tokens: TokenFile) -> None:
    """A secret that was in a cookie opens nothing: others on the host were sent it."""
    secret, _ = tokens.create("page")
    contents = msgspec.json.decode(tokens.path.read_bytes())
    contents["tokens"][0]["for_page"] = True
    tokens.path.write_bytes(msgspec.json.encode(contents))
    with pytest.raises(UnauthorizedError):
        tokens.find(secret)


@pytest.mark.parametrize("name_by", ["id", "secret"])
def test_revoke_by_id_or_secret_removes_one(tokens: TokenFile, name_by: str) -> None:
    """The others stay."""
    secret, token = tokens.create()
    kept_secret, kept = tokens.create()
    assert token == tokens.revoke(token.id if name_by == "id" else secret)
    assert (kept,) == tokens.all()
    assert kept == tokens.find(kept_secret)


@pytest.mark.parametrize("name", ["", "nobody", "\udcff"])
def test_revoke_of_an_unknown_token_is_not_found(tokens: TokenFile, name: str) -> None:
    """Nothing is removed, nothing pretends to be."""
    tokens.create()
    with pytest.raises(NotFoundError):
        tokens.revoke(name)
    assert len(tokens.all()) == 1


@pytest.mark.parametrize(
    "broken",
    [b"", b"{", b"[]", b'{"tokens":{}}', b'{"tokens":[{"id":"x"}]}', b"\xff", b"[" * 100_000],
    ids=["empty", "cut", "list", "object", "half a token", "not UTF-8", "deep"],
)
def test_use_of_a_broken_file_fails_and_leaves_it(tokens: TokenFile, path: Path, broken: bytes) -> None:
    """A file that cannot be read is named, without its folder, and never overwritten."""
    path.parent.mkdir()
    path.write_bytes(broken)
    for use in (tokens.create, tokens.create_first, tokens.all, lambda: tokens.find("x"), lambda: tokens.revoke("x")):
        with pytest.raises(StorageError, match=r"^tokens\.json is damaged") as caught:
            use()
        assert str(path.parent) not in str(caught.value)
    assert broken == path.read_bytes()


def test_use_of_a_link_fails(tokens: TokenFile, path: Path, tmp_path: Path) -> None:
    """A link is not followed: it could lead anywhere."""
    path.parent.mkdir()
    (tmp_path / "elsewhere").write_text('{"tokens":[]}')
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError):
        tokens.create()
    assert (tmp_path / "elsewhere").read_text() == '{"tokens":[]}'


def test_use_of_a_pipe_does_not_hang(tokens: TokenFile, path: Path) -> None:
    """A pipe holds no tokens."""
    path.parent.mkdir()
    os.mkfifo(path, 0o600)
    with pytest.raises(StorageError):
        tokens.all()


def test_create_keeps_fields_it_does_not_know(tokens: TokenFile, path: Path) -> None:
    """A newer version's fields survive an older one."""
    tokens.create()
    contents = msgspec.json.decode(path.read_bytes())
    contents["future"] = {"a": [1]}
    contents["tokens"][0]["colour"] = "blue"
    path.write_bytes(msgspec.json.encode(contents))
    _, second = tokens.create()
    tokens.revoke(second.id)
    assert contents == msgspec.json.decode(path.read_bytes())


def test_create_when_somebody_holds_the_lock_is_busy(
    tokens: TokenFile, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for ever."""
    monkeypatch.setattr(private, "_LOCK_WAIT_S", 0.0)
    tokens.create()
    with path.with_suffix(".lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(BusyError):
            tokens.create()
    assert len(tokens.all()) == 1


@pytest.mark.parametrize("scopes", [(), ("root",), ("read", "Write")])
def test_create_with_a_bad_scope_is_invalid(tokens: TokenFile, scopes: tuple[str, ...]) -> None:
    """Scopes are read, write, delete and admin."""
    with pytest.raises(InvalidError, match="read, write, delete, admin"):
        tokens.create(scopes=scopes)


@pytest.mark.parametrize("prefix", [" x", "a\nb", "x" * 128, "\ud800"])
def test_create_with_a_bad_prefix_is_invalid(tokens: TokenFile, prefix: str) -> None:
    """A prefix must be able to begin a key."""
    with pytest.raises(InvalidError, match=r"^prefix: "):
        tokens.create(prefix=prefix)


def test_create_brings_the_prefix_to_the_form_of_keys(tokens: TokenFile) -> None:
    """A prefix in form NFD confines to keys in form NFC."""
    assert "caf\u00e9:" == tokens.create(prefix="cafe\u0301:")[1].prefix


@pytest.mark.parametrize("rate", [-1, 1_000_001])
def test_create_with_a_bad_rate_is_invalid(tokens: TokenFile, rate: int) -> None:
    """A rate is a number of requests a minute."""
    with pytest.raises(InvalidError, match=r"^rate: "):
        tokens.create(rate=rate)


@pytest.mark.parametrize("lifetime", [timedelta(0), timedelta(days=-1), timedelta.max])
def test_create_with_a_bad_lifetime_is_invalid(tokens: TokenFile, lifetime: timedelta) -> None:
    """A token lives for a while, within the calendar."""
    with pytest.raises(InvalidError, match=r"^expires: "):
        tokens.create(lifetime=lifetime)


@pytest.mark.parametrize("name", ["a\nb", "\x1b[31m", "x" * 129])
def test_create_with_a_bad_name_is_invalid(tokens: TokenFile, name: str) -> None:
    """A name is printed in tables: no control characters."""
    with pytest.raises(InvalidError, match=r"^name: "):
        tokens.create(name)
