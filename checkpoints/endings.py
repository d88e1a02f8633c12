"""Ending tasks for certain.

On Python 3.11 `asyncio.wait_for`, and psycopg's pool with it, can swallow a cancellation that comes
together with its result: the task then goes on as if nobody had told it.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

AGAIN_SECONDS = 0.2


async def cancel_and_wait(tasks: Iterable["asyncio.Task[Any]"]) -> None:
    """Cancel the tasks, again and again, until all have ended. What they raise is dropped."""
    ending = set(tasks)
    while ending:
        for task in ending:
            task.cancel()
        done, ending = await asyncio.wait(ending, timeout=AGAIN_SECONDS)
        for task in done:
            _ = task.cancelled() or task.exception()
