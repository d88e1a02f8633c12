"""An agent that blocks the event loop: whose visit it is, where it stands, and its way out.

It is looked for by who watches the loop, from a thread or in a signal's handler.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import contextmanager
from contextvars import Context
from types import FrameType
from typing import Any, NamedTuple, ParamSpec, TypeVar

from hitl_orchestrator.nodes.mishaps import find_place_of_lines, is_ours, is_the_agents
from hitl_orchestrator.nodes.time_limit import VisitLimit, current_limit

P = ParamSpec("P")
T = TypeVar("T")

# What calls whatever a loop works at: asyncio's own loop, and (of another loop's frames, uvloop's,
# nothing can be seen) who runs the loop.
CALLERS = {asyncio.Handle._run.__code__, asyncio.Runner.run.__code__}
# What works in an agent's context for us, in tasks where none of our frames is left.
DATABASE = {"psycopg", "psycopg_pool"}


class Interrupted(BaseException):
    """Raised where an agent blocks the event loop, though its time is over or its run is not ours.

    No Exception: agents try again whatever fails.
    """


async def hand_over(call: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call what is an agent's. What runs below this frame may be interrupted."""
    return await call(*args, **kwargs)


class Standing(NamedTuple):
    """What an event loop works at just now. `visit`: whose; None: of no agent, or not known.

    `place`: file and line of an agent's own code, or of a library's; None: there is none.
    """

    visit: VisitLimit | None
    place: str | None


class _Task(asyncio.Task[T]):
    """One that works for a visit."""

    visit: VisitLimit


class Visits:
    """Which visit each task of a loop is of: Python 3.11 tells nobody the context of a task.

    An agent works in tasks that are made within its visit.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    @contextmanager
    def noting(self) -> Generator[None]:
        """Note it of each task that is made meanwhile."""
        before = self._loop.get_task_factory()
        self._loop.set_task_factory(self._make)
        try:
            yield
        finally:
            self._loop.set_task_factory(before)

    def _make(
        self,
        loop: asyncio.AbstractEventLoop,
        work: Coroutine[Any, Any, T] | Generator[Any, None, T],
        *,
        context: Context | None = None,
        **named: Any,
    ) -> "asyncio.Task[T]":
        visit = context.get(current_limit) if context else current_limit.get()
        if visit is None:
            return asyncio.Task(work, loop=loop, context=context, **named)
        task = _Task(work, loop=loop, context=context, **named)
        task.visit = visit
        return task

    def look(self, frame: FrameType | None) -> Standing:
        """Tell what the loop works at, by the innermost frame of its thread. From any thread."""
        lines = _list_lines(frame)
        task = asyncio.current_task(self._loop)
        visit = task.visit if isinstance(task, _Task) and lines else None
        return Standing(visit, find_place_of_lines(reversed(lines)))


def _list_lines(frame: FrameType | None) -> list[tuple[FrameType, int]]:
    """Return the frames, with their lines, that a loop has called; none, where it is no loop's."""
    found: list[tuple[FrameType, int]] = []
    while frame is not None and frame.f_code not in CALLERS:
        found.append((frame, frame.f_lineno))
        frame = frame.f_back
    return found if frame is not None else []


def may_interrupt(frame: FrameType | None, visit: VisitLimit) -> bool:
    """Tell whether an error raised in this frame, now, hits code of that visit's agent alone.

    For a signal's handler: in the thread, and the context, of what was interrupted.
    """
    if frame is None or frame.f_code is hand_over.__code__ or current_limit.get() is not visit:
        return False
    is_agents = False
    for each, _ in _list_lines(frame):
        if each.f_code is hand_over.__code__:
            return True
        module = str(each.f_globals.get("__name__", ""))
        if is_ours(module):
            return False
        is_agents |= is_the_agents(module) and module.partition(".")[0] not in DATABASE
    return is_agents
