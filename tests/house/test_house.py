"""The names and sizes of the source: one idea a name, one name an idea, and each thing of a size to read."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from tests.house.measures import SOURCE, Sized, attributes, classes, floors, functions, modules, public_names, rooms

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
TOP_MODULES_MAX = 8
FILES_ROOMS_MAX = 8
FILES_FLOORS_MAX = 6
FUNCTION_LINES_MAX = 50
CLASS_LINES_MAX = 300
MODULE_LINES_MAX = 500
ATTRIBUTES_MAX = 10
LARGE_CLASSES = {"FilesStore", "Tree", "Sessions"}
"""Classes still to be parted; nothing new comes in here."""


def test_functions_classes_and_modules_have_sizes_to_read() -> None:
    """A bound that bites asks for a design, and not for squeezing."""
    assert [] == _longer(functions(), FUNCTION_LINES_MAX)
    assert [] == [one for one in _longer(classes(), CLASS_LINES_MAX) if one.name not in LARGE_CLASSES]
    assert [] == [one for one in _longer(attributes(), ATTRIBUTES_MAX) if one.name not in LARGE_CLASSES]
    assert [] == _longer(modules(), MODULE_LINES_MAX)


def test_public_names_mean_one_thing() -> None:
    """No two modules define one public name at their top."""
    places = {name: [one for one in defined if not _is_made(one)] for name, defined in public_names().items()}
    doubled = {name: defined for name, defined in places.items() if len(defined) > 1}
    assert {} == {name: defined for name, defined in doubled.items() if name not in PER_FORMAT}


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


def test_the_top_and_the_files_store_are_seen_at_a_glance() -> None:
    """Few modules stand beside the packages, and the rooms of the files store stand on few floors, without a circle."""
    assert len(list(SOURCE.glob("*.py"))) <= TOP_MODULES_MAX
    files = rooms(SOURCE / "store" / "files")
    assert len(files) <= FILES_ROOMS_MAX
    assert floors(files) <= FILES_FLOORS_MAX


def _is_made(module: str) -> bool:
    """Return whether a module is made from its asynchronous twin (see `tools/sync_client.py`)."""
    return module.startswith("client/sync_")


def _longer(sizes: list[Sized], lines_max: int) -> list[Sized]:
    return [one for one in sizes if one.size > lines_max]
