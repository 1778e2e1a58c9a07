"""The scripts of the page have an order: views draw state, state asks the wire, and text knows none of them."""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Final

import pytest

from chatkeep.http.routes.page import edition, imports_of, modules_needed

FLOORS: Final = ("views", "state", "wire", "text")
"""From above: a floor may use those under it, but views ask the server for nothing themselves."""
MAY_USE: Final = {
    "": {"views", "state", "text", "vendor"},
    "views": {"views", "state", "text", "vendor"},
    "state": {"state", "wire", "text"},
    "wire": {"wire", "text"},
    "text": {"text", "vendor"},
}
VENDORED: Final = {
    "": {"preact.js"},
    "views": {"preact.js"},
    "text": {"dompurify.js", "highlight.js", "katex.js", "markdown-it.js"},
}
LINES_MAX: Final = 500
_NAMED: Final = re.compile(r"^export (?:async )?(?:function\*?|class|const|let) (\w+)", re.MULTILINE)
_COMMENT: Final = re.compile(r"/\*.*?\*/", re.DOTALL)  # types in it may come from anywhere: they are no scripts
_LATER: Final = re.compile(r'(?:import\(|new URL\()"(\.[^"]+\.js)"')


@pytest.fixture(scope="module")
def scripts() -> dict[str, bytes]:
    """Our scripts by name."""
    return {path: file.plain for path, file in edition().files.items() if path.endswith(".js")}


def ours(scripts: Mapping[str, bytes]) -> dict[str, str]:
    """Return the scripts that are not those of others, as text."""
    return {path: plain.decode() for path, plain in scripts.items() if not path.startswith("vendor/")}


def floor(path: str) -> str:
    """Return the folder of a script."""
    return posixpath.dirname(path)


def uses(path: str, scripts: Mapping[str, bytes]) -> set[str]:
    """Return the scripts that a script imports, at once or when it needs them."""
    later = _LATER.findall(_COMMENT.sub("", scripts[path].decode()))
    return imports_of(path, scripts) | {posixpath.normpath(posixpath.join(floor(path), one)) for one in later}


def misplaced(scripts: Mapping[str, bytes]) -> list[str]:
    """Return the imports that climb up, or take a library to where it does not belong."""
    return [
        f"{path} -> {used}"
        for path in ours(scripts)
        for used in sorted(uses(path, scripts))
        if floor(used) not in MAY_USE[floor(path)]
        or (floor(used) == "vendor" and posixpath.basename(used) not in VENDORED[floor(path)])
    ]


def test_imports_go_down(scripts: Mapping[str, bytes]) -> None:
    """A script uses those of its own folder and of the folders under it, and each library has its folder."""
    assert {"", *FLOORS} == {floor(path) for path in ours(scripts)}
    assert [] == misplaced(scripts)


def test_imports_make_no_circle(scripts: Mapping[str, bytes]) -> None:
    """There is an order in which every script comes after all that it imports."""
    order = [*TopologicalSorter({path: uses(path, scripts) for path in ours(scripts)}).static_order()]
    assert {*ours(scripts)} <= {*order}


def test_check_sees_what_climbs_and_what_circles(scripts: Mapping[str, bytes]) -> None:
    """The checks above are none if they would not see this: text that asks the state, and two that need each other."""
    climbing = b'import { sessions } from "../state/sessions.js";\nimport { html } from "../vendor/preact.js";\n'
    wrong = {**scripts, "text/times.js": climbing}
    found = ["text/times.js -> state/sessions.js", "text/times.js -> vendor/preact.js"]
    assert found == misplaced(wrong)
    round_trip = {**scripts, "text/times.js": b'export {\n  draw,\n} from "./rendering.js";\nimport("./markdown.js")'}
    assert {"text/rendering.js", "text/markdown.js"} == uses("text/times.js", round_trip)
    circle = {**scripts, "text/anchoring.js": b'import "./formulas.js";'}
    with pytest.raises(CycleError):
        TopologicalSorter({path: uses(path, circle) for path in ours(circle)}).prepare()


def test_every_script_is_used(scripts: Mapping[str, bytes]) -> None:
    """No script lies about that nothing imports."""
    used = {"main.js", *(one for path in ours(scripts) for one in uses(path, scripts))}
    assert set() == {*scripts} - used
    assert set() == used - {*scripts}


def test_public_names_mean_one_thing(scripts: Mapping[str, bytes]) -> None:
    """A name that one script exports is exported by no other."""
    names = Counter(name for text in ours(scripts).values() for name in _NAMED.findall(text))
    assert len(names) > 50
    assert {} == {name: count for name, count in names.items() if count > 1}


def test_scripts_are_of_a_size_to_be_read(scripts: Mapping[str, bytes]) -> None:
    """A script has at most 500 lines."""
    assert [] == [path for path, text in ours(scripts).items() if text.count("\n") > LINES_MAX]


def test_front_preloads_what_is_imported(scripts: Mapping[str, bytes]) -> None:
    """The front names every module that is needed at once, once, and nothing that is loaded later."""
    front = edition().files["index.html"].plain.decode()
    named = re.findall(r'<link rel="modulepreload" href="/page/\w+/([^"]+)">', front)
    assert modules_needed(scripts) == named
    assert {"vendor/preact.js", "views/session.js", "wire/api.js", "text/json.js"} < {*named}
    later = {"vendor/katex.js", "vendor/highlight.js", "text/syntax-worker.js", "text/words-de.js", "main.js"}
    assert {*scripts} - later == {*named}
    assert "{" not in front
