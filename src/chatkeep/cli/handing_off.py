"""A session handed to another tool: a new file in the tool's folder. No file there is changed or replaced."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from chatkeep.cli import screen
from chatkeep.cli.options import opened_sessions, tell_redaction
from chatkeep.core.text.redaction import Redaction
from chatkeep.disk.files import make_folder
from chatkeep.disk.replacing import fresh_file
from chatkeep.errors import ConflictError, InvalidError, NotFoundError
from chatkeep.exporters.exchanges import exchanges
from chatkeep.exporters.handoffs import HAND_OFFS, Handed, HandOff
from chatkeep.exporters.handoffs.handing import encoded_lines
from chatkeep.exporters.redacting import redacted_session


def hand_off(tool: str, keys: Sequence[str], output: Path | None, workspace: Path | None, *, redact: bool) -> None:
    """Write one session as a file of the tool, into its folder or elsewhere, and say how the tool resumes it.

    Raises:
        InvalidError: unless there is one key.
        NotFoundError: when the session has no messages, or the tool has no folder here.
        ConflictError: when the file is there already.
    """
    if len(keys) != 1:
        raise InvalidError("KEY", "give the one session to hand over")
    to = HAND_OFFS[tool]
    with opened_sessions(workspace) as sessions:
        session = sessions.read(keys[0])
    redaction = Redaction()
    session = redacted_session(session, redaction) if redact else session
    if not exchanges(session):
        raise NotFoundError("The session has nothing to hand over: no words, and no answered calls.")
    handed = Handed.of(session, str(Path.cwd()))
    path = output or _home(to) / to.place(handed)
    if os.path.lexists(path):
        reason = "the session was handed over as it is now" if output is None else "name another file"
        raise ConflictError(f"{path} is there already: {reason}.")
    if output is None:
        make_folder(path.parent)
    with fresh_file(path, replace=False) as file:
        file.writelines(encoded_lines(to, session, handed))
    if redact:
        tell_redaction(redaction)
    screen.say(f"Wrote {path}.")
    screen.say(f"Resume it here with: {to.command(handed)}")


def _home(to: HandOff) -> Path:
    """Return the folder of a tool.

    Raises:
        NotFoundError: when it does not exist.
    """
    variable, usual = to.home
    home = Path(os.environ.get(variable) or Path.home() / usual)
    if not home.is_dir():
        raise NotFoundError(f"There is no {home}: is {to.name} installed? --output FILE writes the session elsewhere.")
    return home
