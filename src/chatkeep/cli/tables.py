"""Tables for terminals: columns that fit beside each other, and cells cut to them.

On a narrow terminal, titles are cut first. Then the spare columns are left out, in their order, and the first column
is cut to half of the width. If that is not enough, the widest columns are cut.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from chatkeep.cli.styled import Styled

_TITLE: Final = "TITLE"  # the column that is cut first
_TITLE_COLUMNS: Final = 20  # terminal columns, enough to tell titles apart
_GAP: Final = 2  # terminal columns between two cells
_CUT: Final = "…"


def table_lines(
    columns: Sequence[str],
    rows: Sequence[Sequence[str | Styled]],
    width: int,
    *,
    numbers: Sequence[str] = (),
    spare: Sequence[str] = (),
) -> Iterator[Styled]:
    """Yield the heading and the rows of a table, at most `width` wide; `numbers` names the right-aligned columns.

    `spare` names the columns to leave out, in their order, where they do not fit.
    """
    lines = [[Styled(column, "bold").on_one_line() for column in columns], *(list(map(_cell, row)) for row in rows)]
    widths = {column: max(_width(line[place].plain) for line in lines) for place, column in enumerate(columns)}
    fitted = _fitted(widths, spare, width)
    for line in lines:
        cells = [
            _placed(cell, fitted[column], is_number=column in numbers)
            for column, cell in zip(columns, line, strict=True)
            if column in fitted
        ]
        yield _joined(cells)


def _fitted(widths: Mapping[str, int], spare: Sequence[str], width: int) -> Mapping[str, int]:
    """Return the widths of the columns that are kept, in their order."""
    kept = dict(widths)
    for column in spare:
        least = {**kept, _TITLE: min(kept[_TITLE], _TITLE_COLUMNS)} if _TITLE in kept else kept
        if sum(least.values()) + _GAP * len(least) <= width:
            break
        del kept[column]
    first = next(iter(kept))
    if spare:
        kept[first] = min(kept[first], max(_TITLE_COLUMNS, width // 2))
    room = max(width - _GAP * (len(kept) - 1), len(kept))
    if _TITLE in kept:
        kept[_TITLE] = max(1, min(kept[_TITLE], room - sum(kept.values()) + kept[_TITLE]))
    while sum(kept.values()) > room:
        widest = max(kept, key=kept.__getitem__)
        others = sum(kept.values()) - kept[widest]
        second = max((length for column, length in kept.items() if column != widest), default=0)
        kept[widest] = max(room - others, min(second, kept[widest] - 1), 1)
    return kept


def _cell(cell: str | Styled) -> Styled:
    return (Styled(cell) if isinstance(cell, str) else cell).on_one_line()


def _placed(cell: Styled, width: int, *, is_number: bool) -> tuple[Styled, str, str]:
    """Return a cell cut to a width, with the spaces before and after it."""
    space = width - _width(cell.plain)
    if space < 0:
        cut, space = _cut(cell.plain, width - 1)
        return cell.on_one_line(slice(cut)).append(_CUT), "", " " * space
    return (cell, " " * space, "") if is_number else (cell, "", " " * space)


def _joined(cells: Sequence[tuple[Styled, str, str]]) -> Styled:
    """Return the cells as a line, without spaces at its end."""
    line, spaces = Styled(), ""
    for cell, before, after in cells:
        line.append(spaces + before).append(cell)
        spaces = after + " " * _GAP
    return line


def _width(text: str) -> int:
    """Return the terminal columns of a text."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # noqa: PLC0415 - only for wide characters, and those without a width

    return cell_len(text)


def _cut(text: str, width: int) -> tuple[int, int]:
    """Return the number of characters that fit, and the columns left beside them."""
    count = min(len(text), width)
    while (used := _width(text[:count])) > width:
        count -= max(1, (used - width) // 2)
    return count, width - used
