"""Lines that a person types: edited, of several lines if wanted, and those typed before at the arrow keys."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

from prompt_toolkit import PromptSession
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys
from prompt_toolkit.output.vt100 import Vt100_Output

from chatkeep.cli import screen


class Lines:
    """What is typed at a prompt. Enter sends; Alt-Enter, or a backslash before Enter, begins another line."""

    def __init__(self, typed_before: Iterable[str]) -> None:
        """Take the inputs for the arrow keys, oldest first; those that could act on a terminal are left out."""
        harmless = [text for text in typed_before if screen.safe_text(text) == text]
        self._session: PromptSession[str] = PromptSession(
            "> ",
            multiline=True,
            prompt_continuation="  ",
            key_bindings=_bindings(),
            history=InMemoryHistory(harmless),
            reserve_space_for_menu=0,
            output=_output(),
        )

    async def next(self) -> str | None:
        """Return what is typed next, None when the typist leaves."""
        try:
            return await self._session.prompt_async()
        except EOFError:
            return None


def _output() -> Vt100_Output:
    output = Vt100_Output.from_pty(sys.stdout, term=os.environ.get("TERM"))
    output.enable_cpr = False  # nothing here needs to know where the cursor is, and some terminals never tell
    return output


def _bindings() -> KeyBindings:
    bindings = KeyBindings()

    @bindings.add(Keys.Enter)
    def _(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.document.is_cursor_at_the_end and buffer.text.endswith("\\"):
            buffer.delete_before_cursor()
            buffer.insert_text("\n")
        else:
            buffer.validate_and_handle()

    @bindings.add(Keys.Escape, Keys.Enter)
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    @bindings.add(Keys.ControlC)
    @bindings.add(Keys.SIGINT)
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.reset()

    return bindings
