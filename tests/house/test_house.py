"""The names of the source: one idea a name, one name an idea."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from tests.house.measures import SOURCE, public_names

PER_FORMAT = {"read"}  # what every importer has, under one name
MIRRORED = {
    "sessions",  # the use cases, and their routes
    "chat",  # a turn with the model, its JSON, its routes
    "events",  # the JSON of changes, and their route
    "errors",  # the tree of errors, and their JSON
    "keys",  # what a key is, and the routes that name sessions by it
    "tokens",  # what a token is, and the commands for them
}
"""Base names of several modules: each time the same thing on another floor."""


def test_public_names_mean_one_thing() -> None:
    """No two modules define one public name at their top."""
    places = {name: [module for module in modules if not _is_made(module)] for name, modules in public_names().items()}
    doubled = {name: modules for name, modules in places.items() if len(modules) > 1}
    assert {} == {name: modules for name, modules in doubled.items() if name not in PER_FORMAT}


def test_modules_have_names_of_their_own() -> None:
    """No two modules have one base name, but those that are one thing on several floors."""
    found = defaultdict(list)
    for path in SOURCE.rglob("*.py"):
        if "testing" not in path.parts and path.stem not in {"__init__", "__main__"}:
            found[path.stem].append(str(path.relative_to(SOURCE)))
    assert {} == {name: places for name, places in found.items() if len(places) > 1 and name not in MIRRORED}


def test_packages_are_small() -> None:
    """A package has at most a dozen modules, except the command line, which has one for each command."""
    sizes = {str(path.parent.relative_to(SOURCE)): 0 for path in SOURCE.rglob("__init__.py")}
    for place in sizes:
        sizes[place] = sum(path.name[0] != "_" for path in (SOURCE / Path(place)).glob("*.py"))
    assert {} == {place: size for place, size in sizes.items() if size > 12 and place not in {"cli", "testing"}}


def _is_made(module: str) -> bool:
    """Return whether a module is made from its asynchronous twin (see `tools/sync_client.py`)."""
    return module.startswith("client/sync_")
