"""A message never stands without its attachment, whenever `kill -9` comes, and no attachment stays for good.

`CHATKEEP_CRASH_BLOB_KILLS` says how many writers are killed, `CHATKEEP_CRASH_BLOB_SESSIONS` how many sessions share a
picture of 1 MiB.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import time
from base64 import b64encode
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from chatkeep.core.life.dropping import Chosen
from chatkeep.core.model import Draft, Selection
from chatkeep.errors import BusyError, MessageNotFoundError, SessionNotFoundError
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.files.store import FilesStore
from tests.crash import doors
from tests.crash.scorecard import Score

KILLS: Final = int(os.environ.get("CHATKEEP_CRASH_BLOB_KILLS", "12"))
SESSIONS: Final = int(os.environ.get("CHATKEEP_CRASH_BLOB_SESSIONS", "20"))
_WRITERS: Final = 3
_LIFE_S: Final = 0.25
_PICTURES: Final = 8  # so few that writers come upon each other's
_NAME: Final = re.compile(r"chatkeep-blob:([0-9a-f]{64});")

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # nothing else runs when a child is made


def picture(number: int) -> bytes:
    """Return one of the pictures that all writers send."""
    return b"\x89PNG\r\n\x1a\n" + random.Random(number).randbytes(5000 + number)  # noqa: S311 - repeatable


def content_of(content: bytes) -> list[Any]:
    """Return a message's content with an attachment."""
    return [{"type": "input_image", "image_url": f"data:image/png;base64,{b64encode(content).decode()}"}]


def work(workspace: Path, seed: int) -> None:
    """Append messages with pictures, take some back, and delete, until the end."""
    dice = random.Random(seed)  # noqa: S311 - repeatable
    with closing(FilesStore.open(workspace)) as store:
        sessions = Sessions(store)
        while True:
            key = f"k:{dice.randrange(4)}"
            with suppress(BusyError, SessionNotFoundError, MessageNotFoundError):
                match dice.randrange(10):
                    case 0:
                        sessions.delete(key, to_trash=dice.random() < 0.5)
                    case 1:
                        sessions.drop(key, Chosen(last=1))
                    case 2:
                        sessions.compact([key])
                    case 3:
                        sessions.trash.purge("")
                    case _:
                        sessions.append(
                            key, [Draft(role="user", content=content_of(picture(dice.randrange(_PICTURES))))]
                        )


def faults_in(workspace: Path) -> list[str]:
    """Return the messages without their attachment, in any file, and the attachments with other bytes."""
    blobs = {path.name: path.read_bytes() for path in (workspace / "blobs").glob("[0-9a-f]*")}
    found = [
        f"{name} has other bytes: damaged" for name, data in blobs.items() if hashlib.sha256(data).hexdigest() != name
    ]
    for folder in ("sessions", "trash"):
        for path in (workspace / folder).glob("*.json"):
            named = set(_NAME.findall(path.read_text(errors="replace")))
            found += [f"{path.name} names {name}, which is gone" for name in named - blobs.keys()]
    return found


def needless_in(workspace: Path) -> list[str]:
    """Return the attachments that nothing names."""
    texts = "".join(path.read_text() for folder in ("sessions", "trash") for path in (workspace / folder).glob("*"))
    return [f"nobody names {path.name}" for path in (workspace / "blobs").iterdir() if path.name not in texts]


@pytest.mark.campaign("kills under way of attachments")
def test_kill_leaves_no_message_without_its_attachment(scratch: Path, score: Score) -> None:
    """After each kill every message has its attachment; after the next opening no attachment is left over."""
    workspace, problem = scratch / "workspace", scratch / "problem"
    FilesStore.open(workspace).close()
    dice = random.Random(20261130)  # noqa: S311 - repeatable
    kills = 0
    while kills < KILLS:
        pids = [doors.forked(partial(work, workspace, dice.randrange(1 << 30)), problem) for _ in range(_WRITERS)]
        time.sleep(dice.uniform(0.05, _LIFE_S))
        kills += sum(map(doors.is_killed, pids))
        assert not problem.exists(), problem.read_text()
        found = faults_in(workspace)
        with closing(FilesStore.open(workspace)) as store:
            found += faults_in(workspace)
            store.settle()
            found += needless_in(workspace)
            for key in store.keys(Selection(archived=None)).keys:
                found += [
                    f"{key}: a message without its attachment is gone"
                    for message in Sessions(store).read(key, log=True).messages
                    if "chatkeep-blob:" in json.dumps(message.content)
                ]
        score.count(_WRITERS, found)


def test_sessions_share_a_picture(scratch: Path) -> None:
    """So many sessions with one picture of 1 MiB take its room once."""
    large = random.Random(1).randbytes(1 << 20)  # noqa: S311 - repeatable
    with closing(FilesStore.open(scratch, durability="none")) as store:
        for number in range(SESSIONS):
            Sessions(store).append(f"k:{number}", [Draft(role="user", content=content_of(large))])
        assert (1, 1 << 20) == (store.status().blob_count, store.status().blob_bytes)
        used = sum(path.stat().st_size for path in scratch.rglob("*") if path.is_file() and "index" not in path.name)
        assert used < (1 << 20) + SESSIONS * 5000
        assert content_of(large) == Sessions(store).read(f"k:{SESSIONS - 1}").messages[0].content
