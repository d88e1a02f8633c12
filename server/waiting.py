"""Waiting for what happens to runs, without asking the database again and again."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import contextmanager, suppress
from typing import TypeVar

from hitl_orchestrator.checkpoints.kept import KeptRun
from hitl_orchestrator.checkpoints.store import Store
from hitl_orchestrator.checkpoints.wakeups import Wakeups
from hitl_orchestrator.domain.errors import StoreUnavailable
from hitl_orchestrator.domain.hitl import AnsweredRequest, RequestStatus
from hitl_orchestrator.domain.ports import RunRef
from hitl_orchestrator.domain.run import ENDED, Run, RunStatus, StoredRun
from hitl_orchestrator.server.feeds import (
    FRAMES_AT_ONCE,
    RETRY_SECONDS,
    Batch,
    ReadFrames,
    SharedFeed,
)

AT_WORK = frozenset({RunStatus.QUEUED, RunStatus.RUNNING})
# so long the driver is trusted to say when its run rests; then the database is asked, too
DRIVEN_SECONDS = 2.0

T = TypeVar("T")
FeedKey = tuple[str | None, float]


class Waiting:
    """Everybody of this process who waits."""

    def __init__(self, wakeups: Wakeups) -> None:
        self._wakeups = wakeups
        self._waiting = set[asyncio.Event]()
        self._at_rest: dict[str, dict[asyncio.Future[Run], StoredRun]] = {}
        self._feeds: dict[FeedKey, SharedFeed] = {}
        self.stopped = False

    def stop(self) -> None:
        """Send everybody home: streams end, calls are answered as things are now."""
        self.stopped = True
        for touched in self._waiting:
            touched.set()
        for waiting in self._at_rest.values():
            for rests in waiting:
                rests.cancel()
        for feed in self._feeds.values():
            feed.stop()

    async def wait_for_rest(self, store: Store, run_id: str, seconds: float) -> Run:
        """Return the run once it has paused or ended, or as it is when the time is over.

        Raise NotFound or StoreUnavailable.
        """

        async def read() -> Run:
            return await store.show(RunRef(run_id))

        return await self._wait_while(_is_at_work, run_id, read, seconds)

    def see(self, kept: KeptRun) -> None:
        """Wake who waits for the run, and hand it to those who wait for its rest if it has come to.

        Not to who knows it as it was later: what is written may be known to others first, and
        answered before its driver hears of it.
        """
        self._wakeups.tell(kept.run.runId)
        waiting = self._at_rest.get(kept.run.runId)
        if not waiting or _is_at_work(kept.run):
            return
        found = kept.show()
        for rests, known in waiting.items():
            if not rests.done() and found.updatedAt > known.updatedAt:
                rests.set_result(found)

    async def wait_for_drive(self, store: Store, run: StoredRun, seconds: float) -> Run:
        """Do as `wait_for_rest` does, for a run that this process has just begun to drive.

        The driver says when it rests. Where it does not (the run was lost to another process, or
        cancelled), whoever drives it then is asked.
        """
        began = asyncio.get_running_loop().time()
        rests = asyncio.get_running_loop().create_future()
        waiting = self._at_rest.setdefault(run.runId, {})
        waiting[rests] = run
        try:
            async with asyncio.timeout(min(seconds, DRIVEN_SECONDS)):
                return await rests
        except TimeoutError:
            left = seconds - (asyncio.get_running_loop().time() - began)
            return await self.wait_for_rest(store, run.runId, max(left, 0))
        except asyncio.CancelledError:
            if rests.cancelled() and self.stopped:
                return await store.show(RunRef(run.runId))
            raise
        finally:
            del waiting[rests]
            if not waiting:
                self._at_rest.pop(run.runId, None)

    async def wait_for_end(self, store: Store, run_id: str, seconds: float) -> Run:
        """Return the run once it has ended; else as `wait_for_rest` does."""

        async def read() -> Run:
            return await store.show(RunRef(run_id))

        return await self._wait_while(_has_not_ended, run_id, read, seconds)

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
        self, run_id: str | None, read: ReadFrames, after: int, pause_seconds: float = 0.0
    ) -> AsyncGenerator[Batch]:
        """Yield frames as they come, of one run until its last, of the queue (None) until `stop`.

        It ends too when the run is pruned. What all wait for is read once. A database out of reach
        is waited for. `pause_seconds`: what comes within that time is yielded together.
        """
        key = run_id, pause_seconds
        feed = self._feeds.get(key)
        if feed is None or feed.ended:
            touched = self._wakeups.subscribe(run_id)
            feed = self._feeds[key] = SharedFeed(read, touched, pause_seconds)
        frames = feed.follow(after)
        try:
            async for batch in frames:
                yield batch
        finally:
            await frames.aclose()
            if feed.is_idle:
                await self._close(key, feed)

    async def follow_to_rest(
        self, store: Store, run_id: str, after: int
    ) -> AsyncGenerator[Batch | Run]:
        """Yield the run's frames after that number until it rests, or `stop`; then the run.

        A database out of reach is waited for. Raise NotFound.
        """
        with self._subscribe(run_id) as touched:
            while True:
                touched.clear()
                try:
                    run = await store.show(RunRef(run_id))
                    # read after the run: all that led to its rest is among them
                    while batch := await store.frames(run_id, after, FRAMES_AT_ONCE):
                        yield batch
                        after = batch[-1].seq
                except StoreUnavailable:
                    await asyncio.sleep(RETRY_SECONDS)
                    continue
                if self.stopped or not _is_at_work(run):
                    yield run
                    return
                await touched.wait()

    async def touches(self, run_id: str | None) -> AsyncGenerator[None]:
        """Yield at once, and whenever the run, or any (None), was touched, until `stop`."""
        with self._subscribe(run_id) as touched:
            while not self.stopped:
                touched.clear()
                yield
                await touched.wait()

    async def _close(self, key: FeedKey, feed: SharedFeed) -> None:
        if self._feeds.get(key) is feed:
            del self._feeds[key]  # whoever comes now gets another
        run_id, _ = key
        self._wakeups.unsubscribe(run_id, feed.touched)
        await feed.close()

    @contextmanager
    def _subscribe(self, run_id: str | None) -> Generator[asyncio.Event]:
        """Give an event that is set when the run was touched, or it is time to go."""
        with self._wakeups.subscribed(run_id) as touched:
            self._waiting.add(touched)
            try:
                yield touched
            finally:
                self._waiting.discard(touched)


def _is_at_work(run: Run | StoredRun) -> bool:
    return run.status in AT_WORK and run.held is None


def _has_not_ended(run: Run) -> bool:
    return run.status not in ENDED


def _is_still_working(run: Run) -> bool:
    return run.stillWorking


def _is_pending(request: AnsweredRequest) -> bool:
    return request.status is RequestStatus.PENDING
