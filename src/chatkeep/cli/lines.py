"""An editor for typed lines: several lines if wanted, and earlier inputs at the arrow keys."""

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
    """Inputs at a prompt. Enter sends; Alt-Enter, or a backslash before Enter, begins another line."""

    def __init__(self, typed_before: Iterable[str]) -> None:
        """Take the inputs for the arrow keys, oldest first; leave out any with terminal controls."""
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
        """Return the next input; None at its end (Ctrl-D)."""
        try:
            return await self._session.prompt_async()
        except EOFError:
            return None


def _output() -> Vt100_Output:
    output = Vt100_Output.from_pty(sys.stdout, term=os.environ.get("TERM"))
    output.enable_cpr = False  # we do not need the cursor's position, and some terminals never report it
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
