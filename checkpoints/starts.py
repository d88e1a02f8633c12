"""Starts that are not written yet: their callers wait for the run, and were promised nothing.

Such a run is inserted with its first durable moment: when it asks or ends, or when it has worked
for a moment. Until then nobody else knows of it: its thread is new, and its driver is this process.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field, replace

from hitl_orchestrator.checkpoints.kept import Moment, begin
from hitl_orchestrator.checkpoints.writing import Claiming, Extras
from hitl_orchestrator.domain.errors import StoreUnavailable
from hitl_orchestrator.domain.ports import Change, Claim

WRITTEN_SECONDS = 5.0
NOT_WRITTEN = "The start could not be written, and nobody knows whether it will be."


@dataclass(frozen=True)
class Start:
    """`change`: as it would have been written, by the process that drives it."""

    change: Change
    claiming: Claiming
    moment: Moment
    written: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def claim(self) -> Claim:
        return Claim(self.change.run.runId, self.claiming.token)

    def join(self, change: Change, extras: Extras) -> tuple[Change, Extras]:
        """Return what to write of a change with the start before it."""
        joined = replace(change, events=[*self.change.events, *change.events])
        return joined, extras._replace(claiming=self.claiming if change.run.claimToken else None)


def put_off(change: Change, claiming: Claiming, moment: Moment) -> Start:
    """Return the start of a run that is at nobody's disposal but of who claims it."""
    run = change.run.but(claimToken=claiming.token)
    return Start(change, claiming, moment._replace(kept=begin(run), is_new=True))


class Starts:
    """Those of this process."""

    def __init__(self) -> None:
        self._starts: dict[str, Start] = {}

    def keep(self, start: Start) -> None:
        self._starts[start.claim.run_id] = start

    def find(self, run_id: str) -> Start | None:
        return self._starts.get(run_id)

    def settle(self, run_id: str) -> None:
        """Forget it: it is written, or never will be."""
        if start := self._starts.pop(run_id, None):
            start.written.set()

    def list_claims(self) -> set[tuple[str, str]]:
        """Return (run, token) of each. It may be called from any thread."""
        starts = self._starts.copy()
        return {(run_id, start.claiming.token) for run_id, start in starts.items()}

    async def until_written(self, run_id: str) -> None:
        """Wait for it, if it is one. Raise StoreUnavailable: it takes too long."""
        if start := self.find(run_id):
            with suppress(TimeoutError):
                async with asyncio.timeout(WRITTEN_SECONDS):
                    await start.written.wait()
            self.check_written(run_id)

    def check_written(self, run_id: str) -> None:
        """Raise StoreUnavailable: it is not."""
        if run_id in self._starts:
            raise StoreUnavailable(NOT_WRITTEN)
