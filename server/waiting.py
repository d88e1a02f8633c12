"""Waiting for a run without asking the database again and again."""

import asyncio
from contextlib import suppress

from domain.ports import RunRef
from domain.run import Run, RunStatus
from server.services import Services

AT_WORK = frozenset({RunStatus.QUEUED, RunStatus.RUNNING})


async def at_rest(services: Services, run_id: str, seconds: float) -> Run:
    """The run as soon as it has paused or ended, or as it is when the time is over. Raises NotFound, StoreUnavailable."""
    with services.wakeups.subscribed(run_id) as touched:
        run = await services.store.show(RunRef(run_id))
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while run.status in AT_WORK:
                    await touched.wait()
                    touched.clear()
                    run = await services.store.show(RunRef(run_id))
        return run
