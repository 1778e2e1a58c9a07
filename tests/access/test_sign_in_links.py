"""Sign-in links made beside a server: good once, for an hour, and known by their hash alone."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from chatkeep.access.sign_in_links import LINK_LIFETIME, LINKS_FILE, LINKS_MAX, SignInLinks
from chatkeep.access.tokens import TokenFile
from chatkeep.errors import StorageError, UnauthorizedError
from tests.access.test_page_sessions import Clock


@pytest.fixture
def clock() -> Clock:
    """Return a clock that stands at noon."""
    return Clock()


@pytest.fixture
def links(tmp_path: Path, clock: Clock) -> SignInLinks:
    """Return no links."""
    return SignInLinks(TokenFile(tmp_path / "tokens.json", now=clock))


def is_taken(links: SignInLinks, code: str) -> bool:
    """Tell whether a code is taken, which spends it."""
    try:
        links.spend(code)
    except UnauthorizedError:
        return False
    return True


def test_spend_a_code_once(links: SignInLinks, tmp_path: Path) -> None:
    """Another process may have made it; the file is its owner's, and has no code in it."""
    other = SignInLinks(TokenFile(tmp_path / "tokens.json"))
    code, kept = links.make(), links.make()
    path = tmp_path / LINKS_FILE
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)
    assert code not in path.read_text()
    assert not is_taken(links, "wrong")
    assert not is_taken(links, "x" * 100_000)
    assert [True, False, True] == [is_taken(links, code), is_taken(links, code), is_taken(links, kept)]
    assert not is_taken(other, code)


def test_spend_a_code_after_its_hour(links: SignInLinks, clock: Clock) -> None:
    """It is refused, and the next link removes it."""
    code = links.make()
    clock.now += LINK_LIFETIME
    assert not is_taken(links, code)


def test_make_more_links_than_are_kept(links: SignInLinks) -> None:
    """The oldest goes, so that the file stays small."""
    codes = [links.make() for _ in range(LINKS_MAX + 1)]
    assert [False, True] == [is_taken(links, codes[0]), is_taken(links, codes[1])]


def test_use_a_damaged_file(links: SignInLinks, tmp_path: Path) -> None:
    """It is left as it was, and the error says what to do."""
    (tmp_path / LINKS_FILE).write_text("{")
    for use in (links.make, lambda: links.spend("x")):
        with pytest.raises(StorageError, match="remove it"):
            use()
    assert "{" == (tmp_path / LINKS_FILE).read_text()
