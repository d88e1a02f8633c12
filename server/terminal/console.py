"""The terminal that everything is drawn on.

What others wrote is shown as text, never obeyed: no markup, no escape sequences.
"""

from collections.abc import Iterable, Mapping
from typing import Any, TextIO

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from hitl_orchestrator.server.terminal.text import clean, join_lines

_WIDE_ENOUGH = 200  # for what no terminal shows: nothing is cut
STATUS_STYLES = {
    "awaiting_hitl": "bold yellow",
    "completed": "green",
    "failed": "red",
    "cancelled": "red",
    "pending": "bold yellow",
}


class Terminal(Console):
    """A console whose `render` cleans all that is printed, whoever wrote it."""

    def __init__(self, file: TextIO | None = None, **options: Any) -> None:
        super().__init__(file=file, markup=False, emoji=False, highlight=False, **options)
        if not self.is_terminal and "width" not in options:
            self.width = _WIDE_ENOUGH

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(clean(segment.text), segment.style)

    def say(self, text: str, style: str = "") -> None:
        """Print one line, whatever is in it, and never wrap it: it can be copied."""
        self.print(Text(join_lines(text), style), soft_wrap=True)


def make_table(*columns: str) -> Table:
    table = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.columns[0].no_wrap = True  # the id can be copied
    return table


def add_row(table: Table, *cells: str) -> None:
    table.add_row(*(Text(join_lines(cell)) for cell in cells))


def make_facts(facts: Mapping[str, str]) -> Table:
    """Return names and values, one pair a line; a `Status` in its colour."""
    table = Table.grid(padding=(0, 2))
    for name, value in facts.items():
        style = STATUS_STYLES.get(value, "") if name == "Status" else ""
        table.add_row(Text(name, "dim"), Text(join_lines(value), style))
    return table
