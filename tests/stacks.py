"""Where the tasks of an event loop stand, to the bottom of what they await."""

import asyncio
import gc
from collections.abc import Iterator
from types import FrameType
from typing import Any


def describe_tasks() -> str:
    return "\n".join(line for task in _unfinished() for line in _describe(task))


def _unfinished() -> Iterator["asyncio.Task[Any]"]:
    for found in gc.get_objects():
        # `type`, not isinstance: a proxy may fail at being asked
        if type(found) is asyncio.Task and not found.done():
            yield found


def _describe(task: "asyncio.Task[Any]") -> Iterator[str]:
    yield f"{task.get_name()}, asked to cancel {task.cancelling()} times"
    awaited: Any = task.get_coro()
    while awaited is not None:
        frame, awaited = _step(awaited)
        if frame is not None:
            code = frame.f_code
            yield f'  File "{code.co_filename}", line {frame.f_lineno}, in {code.co_qualname}'


def _step(awaited: Any) -> tuple[FrameType | None, Any]:
    """The frame of a coroutine or generator, and what it awaits."""
    for prefix, following in (("cr", "await"), ("gi", "yieldfrom"), ("ag", "await")):
        if hasattr(awaited, f"{prefix}_frame"):
            frame: FrameType | None = getattr(awaited, f"{prefix}_frame")
            return frame, getattr(awaited, f"{prefix}_{following}")
    return None, None
