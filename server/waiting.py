"""Waiting for what happens to runs, without asking the database again and again."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from typing import TypeVar

from hitl_orchestrator.checkpoints.store import Store
from hitl_orchestrator.checkpoints.wakeups import Wakeups
from hitl_orchestrator.domain.errors import NotFound, StoreUnavailable
from hitl_orchestrator.domain.hitl import AnsweredRequest, RequestStatus
from hitl_orchestrator.domain.ports import Frame, RunRef
from hitl_orchestrator.domain.run import Run, RunStatus

RETRY_SECONDS = 0.5
AT_WORK = frozenset({RunStatus.QUEUED, RunStatus.RUNNING})

T = TypeVar("T")
ReadFrames = Callable[[int], Awaitable[Sequence[Frame]]]  # the next ones after that number


class Waiting:
    """Everybody of this process who waits."""

    def __init__(self, wakeups: Wakeups) -> None:
        self._wakeups = wakeups
        self._waiting = set[asyncio.Event]()
        self.stopped = False

    def stop(self) -> None:
        """Send everybody home: streams end, calls are answered as things are now."""
        self.stopped = True
        for touched in self._waiting:
            touched.set()

    async def wait_for_rest(self, store: Store, run_id: str, seconds: float) -> Run:
        """Return the run once it has paused or ended, or as it is when the time is over.

        Raise NotFound or StoreUnavailable.
        """

        async def read() -> Run:
            return await store.show(RunRef(run_id))

        return await self._wait_while(_is_at_work, run_id, read, seconds)

    async def wait_for_stop(self, store: Store, run_id: str, seconds: float) -> Run:
        """Return the run once nothing works for it any more; else as `wait_for_rest` does."""

        async def read() -> Run:
            return await store.show(RunRef(run_id))

        return await self._wait_while(_is_still_working, run_id, read, seconds)

    async def wait_for_answer(
        self, store: Store, request_id: str, seconds: float
    ) -> AnsweredRequest:
        """Return the request once it is not pending, or as it is when the time is over.

        Raise NotFound or StoreUnavailable.
        """

        async def read() -> AnsweredRequest:
            return await store.request(request_id)

        request = await read()
        if not seconds or not _is_pending(request):
            return request
        return await self._wait_while(_is_pending, request.runId, read, seconds)

    async def _wait_while(
        self,
        is_unfinished: Callable[[T], bool],
        run_id: str,
        read: Callable[[], Awaitable[T]],
        seconds: float,
    ) -> T:
        """Read again whenever the run was touched, until it is finished or the time is over."""
        until = asyncio.get_running_loop().time() + seconds
        with self._subscribe(run_id) as touched:
            found = await read()
            with suppress(TimeoutError):
                while is_unfinished(found) and not self.stopped:
                    async with asyncio.timeout_at(until):
                        await touched.wait()
                    touched.clear()
                    found = await read()
            return found

    async def follow(
        self, run_id: str | None, read: ReadFrames, after: int
    ) -> AsyncGenerator[Frame]:
        """Yield frames as they come, of one run until its last, of the queue (None) until `stop`.

        It ends too when the run is pruned. Nothing is buffered: what a reader does not take is not
        read. A database out of reach is waited for.
        """
        with self._subscribe(run_id) as touched:
            while not self.stopped:
                touched.clear()
                try:
                    # A reader who leaves must not break a connection of the pool.
                    frames = await asyncio.shield(read(after))
                except NotFound:
                    return  # the run was pruned meanwhile
                except StoreUnavailable:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(RETRY_SECONDS):
                            await touched.wait()
                    continue
                for frame in frames:
                    yield frame
                    after = frame.seq
                    if frame.is_last:
                        return
                if not frames:
                    await touched.wait()

    @contextmanager
    def _subscribe(self, run_id: str | None) -> Generator[asyncio.Event]:
        """Give an event that is set when the run (None: any) was touched, or it is time to go."""
        with self._wakeups.subscribed(run_id) as touched:
            self._waiting.add(touched)
            try:
                yield touched
            finally:
                self._waiting.discard(touched)


def _is_at_work(run: Run) -> bool:
    return run.status in AT_WORK and run.held is None


def _is_still_working(run: Run) -> bool:
    return run.stillWorking


def _is_pending(request: AnsweredRequest) -> bool:
    return request.status is RequestStatus.PENDING
