"""Measure the room that an index takes, by table, against the text of the messages.

    python bench/room.py WORKSPACE

Make the workspace with bench/generate.py, or take any; `chatkeep reindex` makes its index as small as it gets.
Bytes for each message, and as a part of the UTF-8 bytes of all messages' text.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import apsw
from rich.console import Console
from rich.progress import track
from rich.table import Table

from chatkeep.store.files.tree import format as session_file

_SHOWN = 0.005  # of the text; what takes less is added up


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path)
    workspace = parser.parse_args().workspace
    message_count, text_bytes = _text(workspace)
    if not text_bytes:
        sys.exit(f"{workspace} has no text.")
    parts = _parts(workspace)
    parts["all else"] = sum(parts.pop(name) for name in [*parts] if parts[name] < _SHOWN * text_bytes)
    table = Table(title=f"{message_count:,} messages with {text_bytes / message_count:.0f} bytes of text each")
    for column in ("of the index", "bytes a message", "index / text"):
        table.add_column(column, justify="left" if column == "of the index" else "right")
    for name, size in {**parts, "all": sum(parts.values())}.items():
        table.add_row(name, f"{size / message_count:.1f}", f"{size / text_bytes:.3f}")
    Console(width=100).print(table)


def _text(workspace: Path) -> tuple[int, int]:
    """Return how many messages there are, and how many bytes their text has."""
    message_count = text_bytes = 0
    for path in track(sorted((workspace / "sessions").iterdir()), description="reading"):
        messages = session_file.scan(path.read_bytes()).messages
        message_count += len(messages)
        text_bytes += sum(len(message.text.encode()) for message in messages)
    return message_count, text_bytes


def _parts(workspace: Path) -> dict[str, int]:
    """Return how many bytes each table of the index has, and each of its own indexes, the largest first."""
    (path,) = workspace.glob("index-*.sqlite3")
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    return dict(db.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY name ORDER BY 2 DESC"))


if __name__ == "__main__":
    main()
