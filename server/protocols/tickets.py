"""Tickets of calls that wait for an approval: files, so that they outlive the process.

`NAME.asked` waits, `NAME.begun` is being made or was cut off, `NAME.done` has what came of it. One
is renamed to the next, which only one process can do.
"""

import os
import re
from contextlib import suppress
from pathlib import Path

_NAME = re.compile(r"\w{1,200}")


class Tickets:
    """Those of one MCP server. A call is made by whoever has claimed its ticket, so once."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder

    def open(self, ticket: str) -> None:
        self._find_file(ticket, "asked").touch(mode=0o600)

    def has(self, ticket: str) -> bool:
        if not _NAME.fullmatch(ticket):
            return False
        return any(self._find_file(ticket, state).exists() for state in ("asked", "begun", "done"))

    def claim(self, ticket: str) -> bool:
        """Return whether the call is ours to make; it is nobody's from now on."""
        try:
            self._move(ticket, "asked", "begun")
        except FileNotFoundError:
            return False
        return True

    def keep_result(self, ticket: str, result: str) -> None:
        """Keep what came of a call that was claimed."""
        with self._find_file(ticket, "result").open("w", encoding="utf-8") as file:
            file.write(result)
            file.flush()
            os.fsync(file.fileno())
        self._move(ticket, "result", "done")

    def find_result(self, ticket: str) -> str | None:
        with suppress(FileNotFoundError):
            return self._find_file(ticket, "done").read_text("utf-8")
        return None

    def _move(self, ticket: str, old: str, new: str) -> None:
        """Rename the file, for good: the machine's death does not undo it."""
        self._find_file(ticket, old).rename(self._find_file(ticket, new))
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _find_file(self, ticket: str, state: str) -> Path:
        return self._folder / f"{ticket}.{state}"
