"""Synchronous calls of agents, each in a thread of its own: nobody can stop one that has begun.

So it is counted for whom they work: a run that was cancelled, or a step that took too long, says
that its work goes on.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from contextvars import ContextVar
from threading import Thread
from typing import ParamSpec, TypeVar

from hitl_orchestrator.domain.context_variables import Having

P = ParamSpec("P")
T = TypeVar("T")


def tell_way_out(error: BaseException) -> RuntimeError:
    """Return what an agent raised that would end the process, as an ordinary error.

    The next process would take the run over, and end too.
    """
    if isinstance(error, SystemExit):
        told = RuntimeError("the agent called sys.exit()")
    else:
        told = RuntimeError(f"the agent raised {type(error).__name__}")
    told.__cause__ = error
    return told


class Calls:
    """The synchronous calls of one run, or of one visit of a step, that have not ended.

    `within`: those of the whole, which counts them too. Made in the event loop.
    """

    def __init__(self, within: "Calls | None" = None) -> None:
        self._within = within
        self._number = 0
        self._lock = threading.Lock()
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()

    @property
    def are_running(self) -> bool:
        return self._number > 0

    def begin(self) -> None:
        with self._lock:
            self._number += 1
        if self._within:
            self._within.begin()

    def end(self) -> None:
        """Count one less. For the thread that the call was made in."""
        with self._lock:
            self._number -= 1
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._ended.set)
        if self._within:
            self._within.end()

    async def wait_for_end(self) -> None:
        """Wait until none is running."""
        while self.are_running:
            await self._ended.wait()
            self._ended.clear()


_current: ContextVar[Calls | None] = ContextVar("calls", default=None)


def find_calls() -> Calls | None:
    """Return what counts the calls that are made here."""
    return _current.get()


def has_running_calls() -> bool:
    calls = _current.get()
    return calls is not None and calls.are_running


def counting(calls: Calls) -> AbstractContextManager[None]:
    """Let it count the calls that are made inside."""
    return Having(_current, calls)


class ThreadACall(ThreadPoolExecutor):
    """Gives each synchronous call a thread of its own.

    An agent that hangs must not keep the others waiting for a place in a pool, nor the process
    from ending. Whoever counts calls where it is made counts it until it has ended.
    """

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        done = Future[T]()
        calls = find_calls()
        if calls:
            calls.begin()

        def end() -> None:
            # before the caller hears of it: it may look whether all have ended
            if calls:
                calls.end()

        def call() -> None:
            if not done.set_running_or_notify_cancel():
                end()
                return
            try:
                result = fn(*args, **kwargs)
            except Exception as error:  # noqa: BLE001  # the caller's, through its future
                end()
                done.set_exception(error)
            except BaseException as error:  # noqa: BLE001  # there it would end the process
                end()
                done.set_exception(tell_way_out(error))
            else:
                end()
                done.set_result(result)

        Thread(target=call, daemon=True).start()
        return done
