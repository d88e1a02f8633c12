"""Background tasks, ended for sure."""

import asyncio
from typing import Any

CANCEL_AGAIN_SECONDS = 1.0


async def end_tasks(*tasks: "asyncio.Task[Any]") -> None:
    """Cancel the tasks; return when all have ended, whatever they ended with.

    One `cancel()` is not enough on Python 3.11: `asyncio.wait_for`, with which psycopg_pool waits,
    swallows a cancellation that comes together with its result. A loop then goes on, and whoever
    waits for its end waits for ever.
    """
    running = set(tasks)
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=CANCEL_AGAIN_SECONDS)
    await asyncio.gather(*tasks, return_exceptions=True)
