"""Everything that a user can name is in the reference, and nothing in the documents leads nowhere."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from typer.core import TyperArgument, TyperOption

import chatkeep
from chatkeep import config, exporters, importers, testing
from chatkeep.access import tokens
from chatkeep.core import standing
from chatkeep.errors import ChatkeepError
from chatkeep.exporters import handoffs
from chatkeep.http.gate import rules
from chatkeep.http.table import ROUTES
from chatkeep.store import protocol
from chatkeep.wire.answers import exit_code_of, status_of
from tests.cli.called import all_commands
from tests.docs.figures import QUOTES, Quote
from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference"
DOCUMENTS = (*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md")))
_SCOPES = {
    rules.PUBLIC: "public",
    rules.READ: "read",
    rules.READ_EVERYWHERE: "read",
    rules.WRITE: "write",
    rules.SIGN_IN: "sign-in",
    rules.DELETE: "delete",
    rules.REPLACE: "write, delete",
    rules.FORK: "read, write",
    rules.ANY: "any",
    rules.FORWARD: "write",
    rules.FORWARD_READ: "read",
}
_BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_NUMBERS = {"two": 2, "five": 5, "eight": 8, "ten": 10, "three": 3, "hundred": 100}


def test_document_every_command() -> None:
    """Each command has a section of its own in the reference, which names each of its options."""
    sections = _sections((REFERENCE / "cli.md").read_text("utf-8"))
    shared = {"--help", "--workspace"}
    commands = _options()
    assert [] == [path for path in commands if path not in sections]
    options = [(path, option) for path, options in commands.items() for option in sorted(options - shared)]
    assert [] == [(path, option) for path, option in options if f"`{option}" not in sections[path]]


def test_document_every_setting() -> None:
    """Each setting has a row with its flag, its variable and its default."""
    text = (REFERENCE / "settings.md").read_text("utf-8")
    rows = {row[0].strip("`"): [cell.strip("`") for cell in row[1:]] for row in _rows(text)}
    flags = _options()["chatkeep serve"]
    for field in msgspec.structs.fields(config.Settings):
        flag, variable, default, _ = rows[field.name]
        is_table = field.name in ("upstream", "retention", "webhook")
        assert (flag in flags) == (field.name != "model_key" and not is_table)  # processes show flags; tables are none
        assert ("never" if is_table else f"CHATKEEP_{field.name.upper()}") == variable
        if field.name != "workspace":
            assert ("none" if field.default in ((), "") else str(field.default).lower()) == default


def test_document_every_name_of_the_python_api() -> None:
    """Each public name, each verb of the clients and each option of theirs stands in the reference."""
    text = (REFERENCE / "python.md").read_text("utf-8")
    verbs = [name for name in dir(chatkeep.Client) if not name.startswith("_")]
    options = list(inspect.signature(chatkeep.Client).parameters)[2:]
    assert [] == [name for name in (*chatkeep.__all__, *verbs, *options) if f"`{name}`" not in text]
    named = text.partition("## What is stable")[2].partition("\n- ")[0].strip().rpartition("\n\n")[2]
    assert chatkeep.__all__ == re.findall(r"`(\w+)`", named)


def test_document_every_route() -> None:
    """The table of routes is that of the application, with the scope of each."""
    documented = {
        row[0].strip("`"): row[1] for row in _rows((REFERENCE / "http.md").read_text("utf-8")) if "/" in row[0]
    }
    served = {f"{route.method} {route.path.replace(':path', '')}": _SCOPES[route.rule] for route in ROUTES}
    assert served == {route: scope for route, scope in documented.items() if " /" in route}


def test_document_every_error() -> None:
    """The table of errors is that of the code: code, status, exit code and class."""
    rows = _rows((REFERENCE / "errors.md").read_text("utf-8"))
    documented = [tuple(cell.strip("`") for cell in row[:4]) for row in rows]
    raised = [(one.code, str(status_of(one)), str(exit_code_of(one)), one.__name__) for one in _errors()]
    assert sorted(raised) == sorted(documented)


def test_document_every_promise() -> None:
    """The promises of every store are in the reference word for word, with each verb and each part of the kit."""
    text = " ".join((REFERENCE / "store-contract.md").read_text("utf-8").split())
    listed = (protocol.__doc__ or "").partition("kit in")[2].split("\n- ")[1:]
    promises = [" ".join(promise.split()) for promise in listed]
    verbs = [f"`{name}`" for name in vars(protocol.Store) if not name.startswith("_")]
    parts = [f"`{part.__name__}`" for part in testing.StoreContract.__bases__]
    assert len(promises) > 4
    assert [] == [promise for promise in (*promises, *verbs, *parts) if promise not in text]


@pytest.mark.parametrize(
    "page,words",
    [
        ("http.md", tokens.SCOPES),
        ("http.md", standing.ROLES),
        ("cli.md", importers.IMPORT_FORMATS),
        ("cli.md", exporters.EXPORT_FORMATS),
        ("cli.md", handoffs.HAND_OFFS),
        ("format.md", ("whole", "torn", "loose", "damaged", "foreign")),
    ],
)
def test_document_every_choice(page: str, words: tuple[str, ...]) -> None:
    """The values that one may choose from are named."""
    text = (REFERENCE / page).read_text("utf-8")
    assert [] == [word for word in words if not re.search(rf"\b{word}\b", text)]


def test_figures_are_those_of_the_code() -> None:
    """Each figure that a document quotes from a constant is its value, however the lines are broken."""
    expected = {quote: _value(quote) for quote in QUOTES}
    assert expected == {quote: _quoted(quote) for quote in QUOTES}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: str(document.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    """Each link to another document finds it, and the heading in it."""
    text = _BLOCK.sub("", document.read_text("utf-8"))
    lost = []
    for link in _LINK.findall(text):
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        if "://" not in link and not (target.exists() and (not anchor or anchor in _anchors(target))):
            lost.append(link)
    assert [] == lost


@pytest.mark.parametrize(
    "pattern,words_max",
    [("README.md", 900), ("docs/architecture.md", 2500), ("docs/decisions/*.md", 1000)],
)
def test_documents_are_short(pattern: str, words_max: int) -> None:
    """A document to be read at one sitting takes at most a quarter of an hour, at two hundred words a minute."""
    sizes = {path.name: len(path.read_text("utf-8").split()) for path in ROOT.glob(pattern)}
    assert sizes
    assert {} == {name: size for name, size in sizes.items() if size > words_max}


def test_contributing_names_what_is_there() -> None:
    """Every file and folder that a contributor is sent to exists, and each place to add says it in three lines."""
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    named = re.findall(r"`((?:src|docs|tests|bench)/[\w./-]+)`", text)
    assert len(named) > 20
    assert [] == [path for path in named if not (ROOT / path).exists()]
    places = re.split(r"^\*\*", text.partition("## Where to add")[2].partition("\n## ")[0], flags=re.MULTILINE)[1:]
    assert [3] * 7 == [len(place.strip().splitlines()) - 1 for place in places]


def test_index_leads_to_every_document() -> None:
    """Nobody has to know that a page is there."""
    text = (DOCS / "index.md").read_text("utf-8")
    pages = [path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md") if path.parent.name != "decisions"]
    assert [] == [page for page in pages if page != "index.md" and f"({page}" not in text]


def test_versions_have_dates() -> None:
    """Each version in the list of changes has the day of its release; what is to come has none."""
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert "Unreleased" == headings[0]
    assert [] == [
        heading for heading in headings[1:] if not re.fullmatch(r"\d+\.\d+\.\d+ - \d{4}-\d{2}-\d{2}", heading)
    ]
    assert chatkeep.__version__ in {heading.partition(" ")[0] for heading in headings}


def test_decisions_are_listed() -> None:
    """The architecture page leads to every decision."""
    text = (DOCS / "architecture.md").read_text("utf-8")
    assert [] == [path.name for path in (DOCS / "decisions").glob("*.md") if f"decisions/{path.name}" not in text]


def test_modules_are_on_the_map() -> None:
    """The architecture page names every module at the top of the package, or its folder."""
    text = (DOCS / "architecture.md").read_text("utf-8")
    package = ROOT / "src" / "chatkeep"
    names = [f"{path.name}/" if path.is_dir() else path.name for path in package.iterdir() if path.name[0] not in "_."]
    unsaid = {"demo/", "py.typed"}
    assert [] == [
        name for name in sorted(names) if name not in unsaid and f"`{name}" not in text and name[:-1] not in text
    ]


def test_names_avoid_words_not_used() -> None:
    """No function, class or argument is named with a word that the glossary rules out."""
    table = (DOCS / "glossary.md").read_text("utf-8").partition("## Words not used")[2]
    unused = {word for row in _rows(table) for word in row[0].split(", ")}
    found = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in sorted((ROOT / "src").rglob("*.py"))
        for name in _names(ast.parse(path.read_text("utf-8")))
        if unused & {word.lower() for word in _WORD.findall(name)}
    ]
    assert unused
    assert [] == found


def test_durability_names_its_tests() -> None:
    """Each campaign and each bug on the durability page leads to a test that is there."""
    text = (DOCS / "durability.md").read_text("utf-8")
    bugs = _rows(text.partition("## Bugs")[2])
    assert len(bugs) > 10
    assert [] == [row for row in bugs if not re.search(r"\.py` `test_", row[2])]
    assert [] == _lost_tests(text)


def test_threat_model_names_its_tests() -> None:
    """Whatever holds a door leads to a test that is there, and each parser of outside bytes to its fuzz target."""
    text = (DOCS / "security.md").read_text("utf-8")
    threats = _rows(text.partition("## The doors")[2])
    assert len(threats) > 25
    assert ["listening in"] == [row[0] for row in threats if not re.search(r"\.py` `test_", row[2])]
    assert [] == _lost_tests(text)
    fuzzed = text.partition("Targets: ")[2].partition(".\n")[0]
    assert [target.name for target in TARGETS] == re.findall(r"`([a-z-]+)`", fuzzed)


def _options() -> Mapping[str, set[str]]:
    """Return each command that does something, with its long options."""
    return {f"chatkeep {name}": _long_options(command.params) for name, command in all_commands().items()}


def _long_options(parameters: Sequence[object]) -> set[str]:
    assert all(isinstance(parameter, TyperArgument | TyperOption) for parameter in parameters)
    options = (option for parameter in parameters if isinstance(parameter, TyperOption) for option in parameter.opts)
    return {option for option in options if option.startswith("--")}


def _sections(text: str) -> Mapping[str, str]:
    """Return the text under each heading of a command; the arguments in the heading do not count."""
    found = {}
    for section in re.split(r"^#{2,3} ", text, flags=re.MULTILINE)[1:]:
        heading, _, body = section.partition("\n")
        found[" ".join(word for word in heading.split() if word.islower())] = body
    return found


def _rows(text: str) -> list[list[str]]:
    """Return the cells of all rows of all tables but their heads."""
    rows: list[list[str]] = []
    for line in text.splitlines():
        if line.startswith("|---"):
            rows.pop()
        elif line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def _errors() -> list[type[ChatkeepError]]:
    kinds: list[type[ChatkeepError]] = [ChatkeepError]
    for kind in kinds:
        kinds.extend(kind.__subclasses__())
    return [kind for kind in kinds if kind.__module__ == ChatkeepError.__module__]


def _lost_tests(text: str) -> list[tuple[str, str]]:
    """Return the tests that a document names, each after its file, and that are not there."""
    named, file = [], ""
    for path, name in re.findall(r"`(tests/[a-z_/]+\.py)`|`(test_[a-z_0-9]+)`", text):
        file = path or file
        named.append((file, name))
    return [(file, name) for file, name in named if f"def {name}" not in (ROOT / file).read_text("utf-8")]


def _value(quote: Quote) -> float:
    """Return the constant that a document quotes, in the document's unit."""
    value = getattr(importlib.import_module(f"chatkeep.{quote.module}"), quote.constant)
    return (value.total_seconds() if isinstance(value, timedelta) else value) / quote.unit


def _quoted(quote: Quote) -> float | None:
    """Return the figure that a document quotes; None if the sentence is not in it."""
    (path,) = DOCS.glob(f"decisions/{quote.document}*.md" if quote.document[0] == "0" else quote.document)
    pattern = re.escape(quote.sentence).replace(r"\#", r"([\d.,]*\d|[a-z]+)")
    found = re.search(pattern, " ".join(path.read_text("utf-8").split()))
    if found is None:
        return None
    return _NUMBERS[found[1]] if found[1] in _NUMBERS else float(found[1].replace(",", ""))


def _anchors(document: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", _BLOCK.sub("", document.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
