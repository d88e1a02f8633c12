"""Waiting for a change of the agents' files, and of the Python files around them."""

import asyncio
import os
from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

LOOK_SECONDS = 0.5
MOST_FILES = 5000
# Folders in which nobody edits an agent, besides hidden ones.
_NOT_LOOKED_AT = {"__pycache__", "node_modules", "site-packages", "dist-packages"}

Seen = dict[str, tuple[int, int]]  # by file: when it was written, and its size


class Changes:
    """`entries`: of HITL_AGENTS. What they name is found without importing it."""

    def __init__(self, entries: Sequence[str]) -> None:
        found = [_find(entry.rpartition(":")[0]) for entry in entries]
        self.places = [place for place in found if place is not None]
        self._seen = _look(self.places)

    async def wait(self) -> None:
        """Return once something has changed since the last time, and rests again."""
        before = self._seen
        now = await self._look_later()
        while now == before:
            now = await self._look_later()
        while now != before:
            before, now = now, await self._look_later()
        self._seen = now

    async def _look_later(self) -> Seen:
        await asyncio.sleep(LOOK_SECONDS)
        return await asyncio.to_thread(_look, self.places)


def _find(place: str) -> Path | None:
    """Return the file, or the folder of the package; None: it is nothing that is edited here."""
    if place.endswith((".py", ".json")):
        return Path(place).resolve()
    try:
        spec = find_spec(place.partition(".")[0])
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin is None or _NOT_LOOKED_AT & {*Path(spec.origin).parts}:
        return None
    return Path(spec.origin)


def _look(places: Iterable[Path]) -> Seen:
    seen: Seen = {}
    for place in places:
        _note(place, seen)
        for file in _list_python_files(place.parent):
            if len(seen) >= MOST_FILES:
                return seen
            _note(file, seen)
    return seen


def _list_python_files(folder: Path) -> Iterator[Path]:
    for above, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if _is_looked_at(above, name))
        for name in files:
            if name.endswith(".py"):
                yield Path(above, name)


def _is_looked_at(above: str, name: str) -> bool:
    is_environment = os.path.exists(os.path.join(above, name, "pyvenv.cfg"))
    return not (name.startswith(".") or name in _NOT_LOOKED_AT or is_environment)


def _note(file: Path, seen: Seen) -> None:
    try:
        found = file.stat()
    except OSError:
        return  # it is being written anew
    seen[str(file)] = (found.st_mtime_ns, found.st_size)
