"""Where agents work: an event loop in a thread of its own, and threads for synchronous code.

So an agent that blocks keeps others of its process waiting, but not the server: its lease goes on.
"""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar
from threading import Thread
from typing import Any, TypeVar

MAX_THREADS = 64
END_SECONDS = 1.0  # that what was cancelled has to end

T = TypeVar("T")
_begun: ContextVar[list[Future[Any]] | None] = ContextVar("begun", default=None)


class Workroom:
    """Open until it is closed."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._threads = _Threads()
        self._loop.set_default_executor(self._threads)
        self._thread = Thread(target=self._loop.run_forever, name="hitl-agent-work", daemon=True)
        self._thread.start()

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do it there. Cancelled, it is cancelled there, and may still end a while later."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    async def close(self) -> bool:
        """Let what was cancelled end. Tell whether something is left that cannot be stopped."""
        ending = asyncio.run_coroutine_threadsafe(_end_all(), self._loop)
        await asyncio.wait([asyncio.wrap_future(ending)], timeout=3 * END_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(END_SECONDS)
        is_left = self._thread.is_alive() or bool(self._threads.open)
        if not is_left:
            self._threads.shutdown()
            self._loop.close()
        return is_left


async def finish_threads(work: Coroutine[Any, Any, T]) -> T:
    """Do it, and end no sooner than the synchronous code that it began, also if it is cancelled.

    A thread cannot be stopped; so nobody does once more beside it what it still does.
    """
    begun: list[Future[Any]] = []
    token = _begun.set(begun)
    try:
        return await work
    finally:
        _begun.reset(token)
        while working := [each for each in begun if not each.done()]:
            await asyncio.wait([asyncio.wrap_future(each) for each in working])


class _Threads(ThreadPoolExecutor):
    """Where synchronous code works; who began it can wait for it."""

    def __init__(self) -> None:
        super().__init__(MAX_THREADS, "hitl-agent")
        self.open = set[Future[Any]]()

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future = super().submit(fn, *args, **kwargs)
        self.open.add(future)
        future.add_done_callback(self.open.discard)
        begun = _begun.get()
        if begun is not None:
            begun.append(future)
        return future


async def _end_all() -> None:
    """Wait for the tasks of this loop; cancel those that take too long."""
    for is_last in (False, True):
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks if is_last else ():
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=END_SECONDS)
