"""Importers of other packages: found, asked, listed, and harmless where they are broken."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from chatkeep import importers
from chatkeep.core.model import Session
from chatkeep.errors import InvalidError
from chatkeep.importers import Flaw
from tests.importers.plugins import GOOD, Site, flock

NAMES = ", ".join(importers.IMPORT_FORMATS)
SOURCE = Path(importers.__file__).parents[1]
FAILING = GOOD.replace("        with reading", "        raise KeyError('feather')\n        with reading")
BROKEN = {
    "import": ("import nothing_such", "ModuleNotFoundError: No module named 'nothing_such'"),
    "syntax": ("class", "SyntaxError: invalid syntax"),
    "no class": ("x = 1", "AttributeError: module"),
    "not made": (GOOD.replace("(self):", "(self, more):", 1), "TypeError: "),
    "no method": (GOOD.replace("def files_in", "def files"), "it has no method files_in"),
    "other name": (GOOD.replace('"parrot"', '"crow"', 1), "its own name is 'crow'"),
    "recognises": (GOOD.replace("look.head", "look.tail"), "AttributeError: 'Look' object has no attribute 'tail'"),
    "no phrase": (GOOD.replace(" else None", " else 3"), "recognises returned int, neither a phrase nor None"),
    "files": (GOOD.replace("folder.rglob", "folder.walk_all"), "AttributeError: "),
}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Return a folder of installed packages."""
    return Site(tmp_path / "site", monkeypatch)


def test_import_with_an_importer_of_another_package(site: Site, tmp_path: Path) -> None:
    """An installed importer recognises files and folders, says why, and keeps what it learned for the next file."""
    site.install(GOOD)
    birds = flock(tmp_path / "flock")
    assert "parrot" == importers.Catalogue().names[-1]
    for source in (birds, birds / "a.parrot"):
        assert importers.Recognised("parrot", "it begins with a parrot's mark") == importers.recognised(source)
    found = [one for one in importers.read_sessions(birds, "parrot") if isinstance(one, Session)]
    assert [("parrot:a", 2, 1), ("parrot:b", 1, 2)] == [
        (one.header.key, len(one.messages), one.header.metadata["n"]) for one in found
    ]


@pytest.mark.parametrize("kind", BROKEN)
def test_import_beside_a_broken_importer(site: Site, tmp_path: Path, kind: str) -> None:
    """A broken importer is told in one sentence, and every other format is recognised and read as ever."""
    code, reason = BROKEN[kind]
    site.install(code)
    told: list[str] = []
    catalogue = importers.Catalogue(told.append)
    samples = Path(__file__).parent / "samples"
    assert ["grip", "pocketpaw"] == [importers.sniff(samples / name, catalogue) for name in ("grip", "pocketpaw")]
    (tmp_path / "a.json").write_text('[{"key":"a","messages":[]}]')
    assert "json" == importers.sniff(tmp_path / "a.json", catalogue)
    (sentence,) = told
    assert sentence.startswith(f"The importer parrot of parrot-import is not used: {reason}")
    assert sentence.endswith(".")
    assert "\n" not in sentence


def test_read_with_an_importer_that_fails(site: Site, tmp_path: Path) -> None:
    """An importer that fails while it reads costs the file at hand; the failure is told with its place."""
    site.install(FAILING.replace("raise", "if 'a.' in source.name: raise"))
    flaw, session = importers.read_sessions(flock(tmp_path / "flock"), "parrot")
    assert Flaw("a.parrot", "The importer parrot failed: KeyError: 'feather'.") == flaw
    assert isinstance(session, Session)
    assert "parrot:b" == session.header.key


def test_read_with_an_importer_that_yields_anything(site: Site, tmp_path: Path) -> None:
    """An importer that yields no session gives a flaw."""
    site.install(GOOD.replace("yield from assembled(record, source.name, now=reading.now)", "yield record"))
    (flaw,) = importers.read_sessions(flock(tmp_path / "flock") / "a.parrot", "parrot")
    assert "it yields dict" in getattr(flaw, "reason", "")


def test_list_two_importers_of_one_name(site: Site) -> None:
    """The name of a format belongs to one importer; a second one is told, and not used."""
    site.install(GOOD, "grip")
    site.install(GOOD, "parrot", "b-parrots")
    site.install(GOOD, "parrot", "c-parrots")
    told: list[str] = []
    assert (*importers.IMPORT_FORMATS, "parrot") == tuple(importers.Catalogue(told.append).names)
    assert "The importer grip of parrot-import is not used: chatkeep has a format with this name." in told
    assert 2 == len(told)
    assert any(re.search("of [bc]-parrots is not used: [bc]-parrots has a format with this name", one) for one in told)


def test_list_beside_a_damaged_package(site: Site) -> None:
    """A list of entry points that cannot be read costs no other package."""
    site.install(GOOD)
    site.describe("torn", f"[{importers.ENTRY_POINTS}]\nno value\n")
    told: list[str] = []
    assert "parrot" in importers.Catalogue(told.append).names
    (sentence,) = told
    assert sentence.startswith("The list of importers of torn cannot be read: ")


def test_load_no_code_for_other_formats(site: Site, tmp_path: Path) -> None:
    """Code of other packages runs when a source is to be recognised, not when its format is named."""
    site.install("raise SystemError('it was loaded')")
    path = tmp_path / "a.jsonl"
    path.write_text('{"key":"a","messages":[{"role":"user","content":"x"}]}\n')
    catalogue = importers.Catalogue()  # warnings are errors here
    assert "jsonl" == catalogue.importer("jsonl").name
    with pytest.warns(UserWarning, match="SystemError: it was loaded"):
        assert "jsonl" == importers.sniff(path)


def test_refuse_a_broken_importer_by_name(site: Site) -> None:
    """A broken importer that is asked for by name is refused, and the good names are told."""
    site.install("x = 1")
    catalogue = importers.Catalogue(lambda _: None)
    with pytest.raises(InvalidError, match=f"parrot is broken; the others are {NAMES}"):
        catalogue.importer("parrot")
    with pytest.raises(InvalidError, match=f"must be one of {NAMES}, parrot"):
        catalogue.importer("crow")


def test_say_why_a_format_is_recognised(tmp_path: Path) -> None:
    """Each format of Chatkeep's own gives its reason."""
    samples = Path(__file__).parent / "samples"
    (tmp_path / "a.jsonl").write_text("{}\n")
    (tmp_path / "b.json").write_text("[]")
    assert [
        ("pocketpaw", "it has an index of sessions"),
        ("grip", "it is a session with messages without times"),
        ("jsonl", "it has a JSON object on each line"),
        ("json", "it is a JSON array"),
    ] == [
        (found.name, found.reason)
        for found in map(
            importers.recognised, (samples / "pocketpaw", samples / "grip", tmp_path / "a.jsonl", tmp_path / "b.json")
        )
    ]


def test_formats_are_known_in_their_modules_only() -> None:
    """Nothing outside the module of a format knows the format: its name is in no other importer, and in no command."""
    common = {"openai", "slack", "discord", "telegram"}  # also names of an API, and of channels
    programs = [name for name in importers.IMPORT_FORMATS if not name.startswith("json") and name not in common]
    assert len(programs) > 1
    known = re.compile("|".join(rf"\b_?{name}" for name in programs), re.IGNORECASE)
    modules = [*(SOURCE / "importers").rglob("*.py"), *(SOURCE / "cli").rglob("*.py"), *SOURCE.glob("*.py")]
    modules_named = [name.replace("-", "_") for name in programs]
    formats = SOURCE / "importers" / "formats"
    own = {path for path in formats.rglob("*.py") if path.stem in modules_named}
    listing = formats / "__init__.py"
    assert sorted(modules_named) == sorted(path.stem for path in own)
    names = {path for path in modules if known.search(path.read_text("utf-8"))}
    assert set() == names - own - {listing, SOURCE / "errors.py"}  # errors.py names a source of its sentences
    listed = rf"^from .*\.formats\.(?:\w+\.)?(?:{'|'.join(modules_named)}) "
    assert len(programs) == len(re.findall(listed, listing.read_text(), re.MULTILINE))


def test_recognise_below_a_folder(tmp_path: Path) -> None:
    """Files are recognised in every folder that an importer reads, without an index beside them."""
    place = tmp_path / "memory" / "sessions"
    place.mkdir(parents=True)
    (place / "telegram_1.json").write_text('[{"role":"user","content":"hi","timestamp":"2024-01-01T00:00:00"}]')
    assert importers.Recognised("pocketpaw", "it is an array of messages") == importers.recognised(tmp_path)
