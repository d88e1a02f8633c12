"""What a process remembers: the database's time, and paused runs as it left them.

Who decides about such a run, and who drives it on, need not read what is known here. Whether it is
still so, the fence says.
"""

from collections import OrderedDict
from datetime import datetime
from typing import Any, NamedTuple

from hitl_orchestrator.checkpoints.images import ThreadImage
from hitl_orchestrator.checkpoints.kept import KeptRun, SeenTime
from hitl_orchestrator.checkpoints.rowsets import Space

MOST_BYTES, MOST_BYTES_OF_ONE = 32 * 2**20, 2**20


class Remembered(NamedTuple):
    """`notes`: as in domain.ports.Unit."""

    kept: KeptRun
    images: dict[Space, ThreadImage]
    notes: dict[str, Any]


class Remembering:
    """Of runs those paused last, up to a number of bytes; the rest is forgotten."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._time: SeenTime | None = None
        self._runs = OrderedDict[str, tuple[Remembered, int]]()
        self._bytes = 0

    def see_time(self, now: datetime) -> None:
        self._time = SeenTime(now)

    def recall_time(self) -> datetime | None:
        """Return the database's time, as `SeenTime` has it; None: ask for it."""
        return self._time and self._time.recall()

    def find(self, run_id: str) -> Remembered | None:
        found = self._runs.get(run_id)
        return found and found[0]

    def keep(self, one: Remembered) -> None:
        run_id = one.kept.run.runId
        self.forget(run_id)
        size = sum(image.size for image in one.images.values())
        # what works on ends by a time, of which its row does not tell
        if size > MOST_BYTES_OF_ONE or one.kept.run.stillWorking:
            return
        self._runs[run_id] = one, size
        self._bytes += size
        while self._bytes > self._most_bytes:
            self.forget(next(iter(self._runs)))

    def forget(self, run_id: str) -> None:
        _, size = self._runs.pop(run_id, (None, 0))
        self._bytes -= size
