"""The flush in between: what tasks have finished while something is still at work."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

from hitl_orchestrator.checkpoints.saver import Collected
from hitl_orchestrator.domain.errors import StoreUnavailable

LATENESS_COUNTS, MOST_SECONDS = 20, 0.8  # of the wait before it


async def _wait_for_quiet(unit: Collected, seconds: float) -> None:
    """Wait until nothing has been written for so long: something is long at work.

    For longer where the event loop is late: nothing is long at work then, all wait, and a machine
    that has too much to do is not given more.
    """
    loop, part = asyncio.get_running_loop(), seconds / 4
    began = loop.time()
    await asyncio.sleep(part)
    quiet_seconds = seconds + LATENESS_COUNTS * (loop.time() - began - part)
    # each further write puts it off
    while loop.time() < (until := min(unit.wrote_at + quiet_seconds, began + MOST_SECONDS)):  # noqa: ASYNC110
        await asyncio.sleep(until - loop.time())


@asynccontextmanager
async def flushing(
    unit: Collected, flush: Callable[[], Awaitable[object]], after_seconds: float = 0.1
) -> AsyncGenerator[None]:
    """While the block works, flush what its tasks finished once they have been quiet for so long.

    A database out of reach is tried again; the work goes on. Any other error, a lost claim
    above all, cancels the block and is raised.
    """
    driver = cast("asyncio.Task[Any]", asyncio.current_task())
    cancels_before, leaving = driver.cancelling(), False
    failed: list[Exception] = []

    async def flush_what_is_finished() -> None:
        try:
            while True:
                await unit.changed.wait()
                await _wait_for_quiet(unit, after_seconds)
                # a flush under way takes it along, or leaves it for the next time
                if unit.changed.is_set() and not unit.lock.locked():
                    with suppress(StoreUnavailable):
                        await flush()
        except Exception as error:  # noqa: BLE001  # raised below
            failed.append(error)
            if not leaving:
                driver.cancel()

    background = asyncio.create_task(flush_what_is_finished())
    try:
        yield
    finally:
        leaving = True
        if failed:
            driver.uncancel()
        try:
            async with unit.lock:  # a flush under way ends first
                pass
        finally:
            background.cancel()
        # else somebody else cancels the driver, and that goes on
        if failed and driver.cancelling() <= cancels_before:
            raise failed[0]
