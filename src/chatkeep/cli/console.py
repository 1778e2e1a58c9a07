"""The console for tables, styles and progress."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from chatkeep.core.text.quoting import visible


class SafeConsole(Console):
    """A console to draw nothing of effect on a terminal, except its own colours and moves.

    It lets a BrokenPipeError through: `main` decides about a process without a reader of its output.
    """

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the segments, made safe."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=visible(segment.text))

    def on_broken_pipe(self) -> None:
        """Let the error go on."""
        raise  # noqa: PLE0704 - the BrokenPipeError, under way where Rich calls this
