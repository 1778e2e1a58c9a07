"""Errors as problems: the sentence for people, with the advice of the doors."""

from __future__ import annotations

import re

from chatkeep import errors
from chatkeep.errors import BY_CODE, SessionDamagedError, SessionNotFoundError
from chatkeep.wire.errors import ADVICE, advised, error_of, problem

OF_THE_FILES = re.compile(r"chatkeep (doctor|reindex|backup|restore)")


def test_advise_at_the_door_alone() -> None:
    """The error names no command; its sentence for people does, once, also after a way over the network."""
    error = SessionDamagedError("cli:a", "a line is cut off")
    told = "The session is damaged: a line is cut off. Run `chatkeep doctor`."
    assert "The session is damaged: a line is cut off." == f"{error}"
    assert told == advised(error) == problem(error).detail
    assert told == f"{error_of(problem(error), key='cli:a')}"


def test_advise_nothing_without_advice() -> None:
    """An error without advice says its sentence."""
    assert "Session not found" == advised(SessionNotFoundError("cli:a"))


def test_name_no_command_of_the_files_store_in_errors() -> None:
    """A store of another kind raises the same errors, so a command of the files store stands with the doors only."""
    source = errors.__loader__.get_source(errors.__name__)  # type: ignore[union-attr]
    assert not OF_THE_FILES.search(source)
    assert set(ADVICE) <= set(BY_CODE.values())
