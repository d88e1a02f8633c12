"""Background tasks, ended for sure."""

import asyncio
from typing import Any

CANCEL_AGAIN_SECONDS = 1.0


async def end_tasks(
    *tasks: "asyncio.Task[Any]", within_seconds: float | None = None
) -> "set[asyncio.Task[Any]]":
    """Cancel the tasks; return when all have ended, whatever they ended with, or the time is over.

    Return those that have not ended. One `cancel()` is not enough on Python 3.11:
    `asyncio.wait_for`, with which psycopg_pool waits, swallows a cancellation that comes together
    with its result. A loop then goes on, and whoever waits for its end waits for ever.
    """
    loop = asyncio.get_running_loop()
    until = None if within_seconds is None else loop.time() + within_seconds
    running = set(tasks)
    while running:
        for task in running:
            task.cancel()
        patience = CANCEL_AGAIN_SECONDS
        if until is not None:
            patience = min(patience, max(until - loop.time(), 0))
        _, running = await asyncio.wait(running, timeout=patience)
        if until is not None and loop.time() >= until:
            break
    await asyncio.gather(*(task for task in tasks if task.done()), return_exceptions=True)
    return running
