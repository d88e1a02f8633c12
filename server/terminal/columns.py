"""Rows in columns, a line each whatever is in them, as wide as the terminal."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size

from hitl_orchestrator.server.terminal.text import join_lines

_GAP = "  "


class Column(NamedTuple):
    """`share`: of what is left over by the columns that are as wide as what is in them (0)."""

    title: str
    share: int = 0


def lay_out(
    columns: Sequence[Column], rows: Iterable[Sequence[str]], width: int, mark: str
) -> list[str]:
    """Return a line for the titles and one for each row; `mark`: where a cell was cut."""
    table = [[column.title for column in columns]]
    table += [list(map(join_lines, row)) for row in rows]
    widths = _find_widths(columns, table, width)
    return [_write_line(row, widths, mark) for row in table]


def _find_widths(
    columns: Sequence[Column], table: Sequence[Sequence[str]], width: int
) -> list[int]:
    widest = [max(map(cell_len, cells)) for cells in zip(*table, strict=True)]
    left = width - len(_GAP) * (len(columns) - 1)
    left -= sum(own for own, column in zip(widest, columns, strict=True) if not column.share)
    shares = sum(column.share for column in columns)
    widths: list[int] = []
    for column, own in zip(columns, widest, strict=True):
        if column.share:
            part = max(1, left * column.share // shares)
            own = min(own, part)
            left, shares = left - own, shares - column.share
        widths.append(own)
    return widths


def _write_line(row: Sequence[str], widths: Sequence[int], mark: str) -> str:
    cells = [_fit(cell, width, mark) for cell, width in zip(row, widths, strict=True)]
    return _GAP.join(cells).rstrip()


def _fit(text: str, width: int, mark: str) -> str:
    if cell_len(text) <= width:
        return set_cell_size(text, width)
    return set_cell_size(text, width - len(mark)) + mark


def write_tabs(row: Sequence[str]) -> str:
    """Return a row for programs: its cells whole, a tab between them."""
    return "\t".join(map(join_lines, row))
