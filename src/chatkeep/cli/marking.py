"""Commands to mark sessions: `tag`, `pin`, `archive`, `hold`, and their opposites."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from chatkeep.cli import completing, facts, screen
from chatkeep.cli.options import AsJson, Workspace, existing_keys, opened_sessions
from chatkeep.core.checks import check_tags
from chatkeep.core.model import Header, Revision, Summary
from chatkeep.errors import InvalidError

Keys = Annotated[
    list[str],
    typer.Argument(
        metavar="KEY...", help="Keys of sessions.", show_default=False, autocompletion=completing.key_completions
    ),
]
KeyAndTags = Annotated[
    list[str],
    typer.Argument(
        metavar="KEY [TAG]...",
        help="A key and tags; with --tag, keys.",
        show_default=False,
        autocompletion=completing.key_completions,
    ),
]
MoreTags = Annotated[
    list[str] | None,
    typer.Option("--tag", metavar="TAG", help="A tag for all the keys; repeatable.", show_default=False),
]


def pin(keys: Keys, *, workspace: Workspace = None, as_json: AsJson = False) -> None:
    """Pin sessions."""
    _mark(keys, lambda _: Revision(pinned=True), "Pinned", workspace, as_json=as_json)


def unpin(keys: Keys, *, workspace: Workspace = None, as_json: AsJson = False) -> None:
    """Unpin sessions."""
    _mark(keys, lambda _: Revision(pinned=False), "Unpinned", workspace, as_json=as_json)


def archive(keys: Keys, *, workspace: Workspace = None, as_json: AsJson = False) -> None:
    """Archive sessions: lists leave them out, searches find them."""
    _mark(keys, lambda _: Revision(archived=True), "Archived", workspace, as_json=as_json)


def unarchive(keys: Keys, *, workspace: Workspace = None, as_json: AsJson = False) -> None:
    """Take sessions out of the archive."""
    _mark(keys, lambda _: Revision(archived=False), "Unarchived", workspace, as_json=as_json)


def hold_command(keys: Keys, *, workspace: Workspace = None, as_json: AsJson = False) -> None:
    """Hold sessions: no rule of `chatkeep prune` touches them."""
    _mark(keys, lambda _: Revision(held=True), "Held", workspace, as_json=as_json)


def release_command(keys: Keys, *, workspace: Workspace = None, as_json: AsJson = False) -> None:
    """Release sessions that were held."""
    _mark(keys, lambda _: Revision(held=False), "Released", workspace, as_json=as_json)


def tag(names: KeyAndTags, *, tags: MoreTags = None, workspace: Workspace = None, as_json: AsJson = False) -> None:
    """Give a session tags: `tag KEY TAG...`, or several sessions: `tag --tag TAG KEY...`."""
    keys, chosen = _keys_and_tags(names, tags)
    _mark(keys, lambda header: Revision(tags=(*header.tags, *chosen)), "Tagged", workspace, as_json=as_json)


def untag(names: KeyAndTags, *, tags: MoreTags = None, workspace: Workspace = None, as_json: AsJson = False) -> None:
    """Take tags from a session: `untag KEY TAG...`, or from several: `untag --tag TAG KEY...`."""
    keys, chosen = _keys_and_tags(names, tags)

    def without(header: Header) -> Revision:
        return Revision(tags=tuple(name for name in header.tags if name not in chosen))

    _mark(keys, without, "Untagged", workspace, as_json=as_json)


def _keys_and_tags(names: Sequence[str], tags: Sequence[str] | None) -> tuple[Sequence[str], tuple[str, ...]]:
    keys, chosen = (names, tags) if tags else (names[:1], names[1:])
    if not chosen:
        raise InvalidError("TAG", "is missing: give KEY TAG..., or --tag TAG KEY...")
    return keys, check_tags(tuple(chosen))


def _mark(
    keys: Sequence[str],
    revision: Callable[[Header], Revision],
    did: str,
    workspace: Path | None,
    *,
    as_json: bool,
) -> None:
    """Revise all sessions of the keys, or none if one is missing, and print the results."""
    with opened_sessions(workspace) as sessions:
        before = [sessions.get(key) for key in existing_keys(sessions, keys, "changed")]
        after = [sessions.revise(known.header.key, revision(known.header)) for known in before]
    changed_count = sum(old.header != new.header for old, new in zip(before, after, strict=True))
    if as_json:
        screen.show_json({"sessions": list(map(facts.listed, after)), "changed_count": changed_count})
        return
    screen.say(f"{did} {screen.counted(changed_count, 'session')}." if changed_count else "Nothing to change.")
    for known in after:
        screen.say(_line(known))


def _line(known: Summary) -> str:
    header = known.header
    flags = {"pinned": header.pinned, "archived": header.archived, "held": header.held}
    marks = [*(name for name, is_set in flags.items() if is_set), *header.tags]
    told = f": {', '.join(marks)}" if marks else ""
    return screen.safe_text(f"  {header.key}{told}", one_line=False).replace("\n", " ")
