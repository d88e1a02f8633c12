"""What agents say while they work becomes frames: now and then, and never in the work's way."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress

from hitl_orchestrator.domain.errors import StoreUnavailable
from hitl_orchestrator.domain.events import Event
from hitl_orchestrator.nodes.lines import Lines

_log = logging.getLogger("hitl.drive")

PAUSE_SECONDS = 0.12  # so that with what the last flush brings it is ten a second at most
PAUSE_PARTS = 10  # of what the database takes for it: one that has much to do is asked less

Tell = Callable[[Sequence[Event]], Awaitable[bool]]  # False: not ours to tell any more


@asynccontextmanager
async def telling(lines: Lines, tell: Tell, is_behind: Callable[[], bool]) -> AsyncGenerator[None]:
    """While the block works, tell what is said, a moment after it came. What fails is lost.

    `is_behind`: what has finished is not written yet; who hears of a step knows its plan before.
    """
    busy = asyncio.Lock()
    teller = asyncio.create_task(_tell_what_comes(lines, tell, is_behind, busy))
    try:
        yield
    finally:
        try:
            async with busy:  # what is being told is in its place before the end is
                pass
        finally:
            teller.cancel()


async def _tell_what_comes(
    lines: Lines, tell: Tell, is_behind: Callable[[], bool], busy: asyncio.Lock
) -> None:
    loop, pause_seconds, is_ours = asyncio.get_running_loop(), PAUSE_SECONDS, True
    while is_ours:
        await lines.came.wait()
        await asyncio.sleep(pause_seconds)
        if is_behind():
            continue
        async with busy:
            began = loop.time()
            is_ours = await _tell_once(lines, tell)
        pause_seconds = max(PAUSE_SECONDS, PAUSE_PARTS * (loop.time() - began))


async def _tell_once(lines: Lines, tell: Tell) -> bool:
    happened = lines.take()
    if not happened:
        return True
    try:
        with suppress(StoreUnavailable):
            return await tell(happened)
    except Exception:  # noqa: BLE001  # a defect of ours: the run itself does not need it
        _log.exception("what an agent said could not be told")
        return False
    return True
