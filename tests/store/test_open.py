"""A store is opened by its address, and an address that names none is refused with a sentence."""

from __future__ import annotations

import io
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatkeep.core.model import Selection
from chatkeep.errors import InvalidError
from chatkeep.sessions.message_ids import now_utc
from chatkeep.store.address import StoreAddress, folder_address, store_address
from chatkeep.store.open import KINDS, StoreOptions, admin_of, kind_of, opened_at
from chatkeep.store.protocol import Served
from chatkeep.testing import draft
from tests.store.postgres.cluster import Cluster

PATHS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1).map(
    lambda text: str(Path("/", text.lstrip("/") or "x"))
)


@pytest.mark.parametrize(
    "written,path",
    [
        ("/srv/box", "/srv/box"),
        ("box", "{here}/box"),
        ("./a:b", "{here}/a:b"),
        ("~/box", "{home}/box"),
        ("C:\\data", "{here}/C:\\data"),
        ("/100%/?#", "/100%/?#"),
        ("files:/srv/box", "/srv/box"),
        ("FILES:/srv/box", "/srv/box"),
        ("files:box", "{here}/box"),
        ("files:../box", "{here}/../box"),
        ("files:~/box", "{home}/box"),
        ("files:///srv/box", "/srv/box"),
        ("files://localhost/srv/box", "/srv/box"),
        ("files:/a%20b/%3F%25/ü", "/a b/?%/ü"),
        ("files:C:\\data", "{here}/C:\\data"),
    ],
)
def test_read_a_folder(written: str, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder and a URL name the same place, relative or not; a drive letter is no scheme."""
    here, home = tmp_path / "here", tmp_path / "home"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("HOME", str(home))
    assert StoreAddress("files", path.format(here=here, home=home)) == store_address(written)


def test_read_a_folder_beside_another(tmp_path: Path) -> None:
    """With a base, a relative path begins there, and an absolute one stays."""
    assert (
        folder_address(tmp_path / "box")
        == store_address("box", base=tmp_path)
        == store_address("files:box", base=tmp_path)
    )
    assert folder_address(Path("/srv")) == store_address("files:/srv", base=tmp_path)


@given(path=PATHS)
def test_read_back_every_url(path: str) -> None:
    """An address says itself as a URL, whatever characters its folder has."""
    address = folder_address(Path(path))
    assert address == store_address(address.url)


@pytest.mark.parametrize(
    "written,reason",
    [
        ("", "names no folder"),
        ("  ", "names no folder"),
        ("files:", "names no folder"),
        ("files:///", "names no folder"),
        ("files://", "names no folder"),
        ("files://box/x", "names a host"),
        ("files:/srv?mode=ro", "write them as %3F"),
        ("files:/srv#x", "write them as %3F"),
        ("files:/%FF", "cannot be the name"),
        ("files:/a%00b", "cannot be the name"),
        ("/a\0b", "cannot be the name"),
        ("~nobody-has-this-name/x", "cannot be the name"),
    ],
)
def test_refuse_what_is_no_folder(written: str, reason: str) -> None:
    """An address without a folder of this machine is refused for the setting that has it."""
    with pytest.raises(InvalidError, match=f"^CHATKEEP_STORE: .*{reason}"):
        store_address(written, "CHATKEEP_STORE")


@pytest.mark.parametrize("written", ["mysql://me:secret@db/chat", "MySQL:x", "sqlite:secret", "file:/secret"])
def test_refuse_an_unknown_kind(written: str) -> None:
    """The error names the kinds there are, and repeats nothing that may be a password."""
    scheme = written.partition(":")[0].lower()
    with pytest.raises(InvalidError, match=f"^store: there is no store of the kind {scheme}:") as refused:
        opened_at(store_address(written), StoreOptions())
    assert [] == [kind.form for kind in KINDS.values() if kind.form not in str(refused.value)]
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("scheme", sorted(KINDS))
def test_open_every_kind(scheme: str, tmp_path: Path, postgres: Cluster) -> None:
    """A store of each kind takes a session and answers it; a shared one has it when it is opened again."""
    address = StoreAddress(scheme, str(tmp_path / "box") if scheme == "files" else "")
    if scheme == "postgresql":
        address = store_address(postgres.make("opened"))
    with closing(opened_at(address, StoreOptions(durability="none"))) as store:
        store.warm_up()
        store.append("a", [draft("Hello")])
        assert ("a",) == store.keys(Selection(archived=None)).keys
        assert kind_of(address).is_shared == store.is_told
    assert kind_of(address).exists(address)
    with closing(opened_at(address, StoreOptions(durability="none"))) as again:
        assert kind_of(address).is_shared == bool(_keys(again))


def test_refuse_a_name_in_memory() -> None:
    """A store in memory has no place, so one is refused instead of ignored."""
    with pytest.raises(InvalidError, match="neither a name nor a place"):
        opened_at(store_address("memory:box"), StoreOptions())


def test_refuse_care_where_there_is_none() -> None:
    """A kind of store without care says so."""
    with pytest.raises(InvalidError, match="memory: cannot be checked"):
        admin_of(store_address("memory:"))


def test_care_for_files(tmp_path: Path) -> None:
    """The care for session files checks, rebuilds, backs up and counts them without an open store."""
    address = folder_address(tmp_path / "box")
    assert not kind_of(address).exists(address)
    admin = admin_of(address)
    assert admin.is_empty()
    with closing(opened_at(address, StoreOptions())) as store:
        store.append("a", [draft("Hello")])
    assert [] == [one for one in admin.check() if one.needs_care]
    assert ([], [], []) == (list(admin.repair(admin.check)), list(admin.cuts()), list(admin.set_aside()))
    assert 1 == admin.reindex().message_count
    assert ["a"] == [item.key for item in admin.back_up(io.BytesIO(), now_utc()).manifest.sessions]
    assert not admin.is_empty()


def _keys(store: Served) -> tuple[str, ...]:
    return tuple(store.keys(Selection(archived=None)).keys)
