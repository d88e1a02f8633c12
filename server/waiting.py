"""Waiting for what happens to runs, without asking the database again and again."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager, suppress

from hitl_orchestrator.checkpoints.store import Store
from hitl_orchestrator.checkpoints.wakeups import Wakeups
from hitl_orchestrator.domain.ports import RunRef
from hitl_orchestrator.domain.run import Run, RunStatus

AT_WORK = frozenset({RunStatus.QUEUED, RunStatus.RUNNING})


class Waiting:
    """Everybody of this process who waits. `stop` sends them home: streams end, calls are answered
    as things are now.
    """

    def __init__(self, wakeups: Wakeups) -> None:
        self._wakeups = wakeups
        self._waiting = set[asyncio.Event]()
        self.stopped = False

    def stop(self) -> None:
        self.stopped = True
        for touched in self._waiting:
            touched.set()

    @contextmanager
    def subscribed(self, run_id: str | None) -> Generator[asyncio.Event]:
        """Set when the run was touched, or when it is time to go. None: any run."""
        with self._wakeups.subscribed(run_id) as touched:
            self._waiting.add(touched)
            try:
                yield touched
            finally:
                self._waiting.discard(touched)

    async def at_rest(self, store: Store, run_id: str, seconds: float) -> Run:
        """The run as soon as it has paused or ended, or as it is when the time is over. Raises
        NotFound, StoreUnavailable.
        """
        until = asyncio.get_running_loop().time() + seconds
        with self.subscribed(run_id) as touched:
            run = await store.show(RunRef(run_id))
            with suppress(TimeoutError):
                while run.status in AT_WORK and not self.stopped:
                    async with asyncio.timeout_at(until):
                        await touched.wait()
                    touched.clear()
                    run = await store.show(RunRef(run_id))
            return run
