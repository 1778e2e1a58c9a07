"""What the source is like, in figures: `python -m tests.house.measures` prints them and fails where one is too high.

`test_house` sets the bounds on sizes. Relative words are those
that stand where a sentence has no actor: "what is asked of what is there".
"""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

SOURCE: Final = Path(__file__).parents[2] / "src" / "chatkeep"
RELATIVE: Final = frozenset(("that", "which", "who", "whom", "whose", "what"))
RELATIVE_SHARE_MAX: Final = 0.015  # of the words of docstrings; well-kept libraries have 1.0 to 1.8 %
_WORD: Final = re.compile(r"[A-Za-z']+")
_DOCUMENTED: Final = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_FUNCTION: Final = (ast.FunctionDef, ast.AsyncFunctionDef)


class Sized(NamedTuple):
    """Something and how much of it there is."""

    size: int
    name: str


def trees() -> Iterator[tuple[str, ast.Module]]:
    """Yield each module's path below the package, and what is in it."""
    for path in sorted(SOURCE.rglob("*.py")):
        yield _name_of(path), ast.parse(path.read_text("utf-8"))


def public_names() -> Mapping[str, list[str]]:
    """Return each public name that modules define at their top, with those modules."""
    found = defaultdict(list)
    for module, tree in trees():
        for name in {name for node in tree.body for name in _defined(node) if not name.startswith("_")}:
            found[name].append(module)
    return found


def relative_share() -> float:
    """Return the share of relative words in the words of all docstrings."""
    words = [
        word.lower()
        for _, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, _DOCUMENTED)
        for word in _WORD.findall(ast.get_docstring(node) or "")
    ]
    return sum(word in RELATIVE for word in words) / len(words)


def functions() -> list[Sized]:
    """Return every function with its lines, the longest first."""
    return sorted((_sized(node) for _, tree in trees() for node in ast.walk(tree) if isinstance(node, _FUNCTION)))[::-1]


def classes() -> list[Sized]:
    """Return every class with its lines, the longest first."""
    found = (node for _, tree in trees() for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    return sorted(map(_sized, found))[::-1]


def modules() -> list[Sized]:
    """Return every module with its lines, the longest first."""
    sizes = (Sized(len(path.read_text("utf-8").splitlines()), _name_of(path)) for path in SOURCE.rglob("*.py"))
    return sorted(sizes)[::-1]


def attributes() -> list[Sized]:
    """Return every class with how many attributes its methods set, the most first."""
    found = [node for _, tree in trees() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    return sorted(Sized(len(set(_set_on_self(node))), node.name) for node in found)[::-1]


def rooms(place: Path = SOURCE) -> Mapping[str, set[str]]:
    """Return the modules and packages directly in a package, each with those beside it that it imports."""
    own = "chatkeep" if place == SOURCE else f"chatkeep.{'.'.join(place.relative_to(SOURCE).parts)}"
    names = {path.stem for path in place.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    found: dict[str, set[str]] = {name: set() for name in names - {"__init__"}}
    for module, imported in _imports():
        if not module.startswith(f"{own}."):
            continue
        room = module.removeprefix(f"{own}.").split(".")[0]
        others = {name.removeprefix(f"{own}.").split(".")[0] for name in imported if name.startswith(f"{own}.")}
        found[room] |= (others & found.keys()) - {room}
    return found


def floors(arrows: Mapping[str, set[str]]) -> int:
    """Return the number of floors: a room stands above all that it imports.

    Raises:
        RecursionError: when rooms import each other in a circle.
    """

    @cache
    def floor(room: str) -> int:
        return 1 + max(map(floor, arrows[room]), default=0)

    return max(map(floor, arrows))


def main() -> int:
    """Print the figures; 1 when the share of relative words is over its bound."""
    long = functions()
    top, files = rooms(), rooms(SOURCE / "store" / "files")
    share = relative_share()
    lines = (
        f"modules: {len(list(trees()))}; at the top {len(list(SOURCE.glob('*.py')))} and {_plan(top)}",
        f"store/files: {_plan(files)}",
        f"functions: {len(long)}, median {median(one.size for one in long):.0f} lines",
        "longest functions: " + ", ".join(f"{one.name} {one.size}" for one in long[:3]),
        "longest modules: " + ", ".join(f"{one.name} {one.size}" for one in modules()[:3]),
        "longest classes: " + ", ".join(f"{one.name} {one.size}" for one in classes()[:3]),
        "most attributes: " + ", ".join(f"{one.name} {one.size}" for one in attributes()[:3]),
        f"relative words in docstrings: {share:.1%} (at most {RELATIVE_SHARE_MAX:.1%})",
    )
    print("\n".join(lines))  # noqa: T201 - a script
    return int(share > RELATIVE_SHARE_MAX)


def _plan(arrows: Mapping[str, set[str]]) -> str:
    return f"{len(arrows)} rooms on {floors(arrows)} floors with {sum(map(len, arrows.values()))} arrows"


@cache
def _imports() -> list[tuple[str, set[str]]]:
    """Return each module with every name that it imports, also within functions."""
    found = []
    for name, tree in trees():
        module = ".".join(("chatkeep", *Path(name).with_suffix("").parts)).removesuffix(".__init__")
        imported = {one.name for node in ast.walk(tree) if isinstance(node, ast.Import) for one in node.names}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module:
                imported |= {node.module, *(f"{node.module}.{one.name}" for one in node.names)}
        found.append((module, imported))
    return found


def _name_of(path: Path) -> str:
    return str(path.relative_to(SOURCE))


def _defined(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, (*_FUNCTION, ast.ClassDef)):
        yield node.name
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    yield from (target.id for target in targets if isinstance(target, ast.Name))


def _set_on_self(node: ast.ClassDef) -> Iterator[str]:
    for item in ast.walk(node):
        if isinstance(item, ast.Attribute) and isinstance(item.ctx, ast.Store) and ast.unparse(item.value) == "self":
            yield item.attr


def _sized(node: ast.AST) -> Sized:
    assert isinstance(node, (*_FUNCTION, ast.ClassDef))
    return Sized((node.end_lineno or node.lineno) - node.lineno + 1, node.name)


if __name__ == "__main__":
    sys.exit(main())
