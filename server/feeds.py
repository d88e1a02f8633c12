"""What streams send, read once a process and handed on to all who listen."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

from hitl_orchestrator.checkpoints.tasks import end_tasks
from hitl_orchestrator.domain.errors import NotFound, StoreUnavailable
from hitl_orchestrator.domain.ports import Frame

RETRY_SECONDS = 0.5
FRAMES_AT_ONCE = 50  # read, and kept: a listener that is further behind reads the table itself
# To hand frames on takes about 0.1 ms of the loop a listener. The pause behind it, ten times as
# long, is for everybody else; what comes meanwhile is handed on together.
PAUSE_SECONDS = 0.001  # a listener
WOKEN_AT_ONCE = 10

Batch = Sequence[Frame]
ReadFrames = Callable[[int], Awaitable[Batch]]  # the next ones after that number


class SharedFeed:
    """The newest frames of one stream, for all of this process who listen to it.

    A listener reads the table by itself until it has caught up, and then waits here. What it does
    not take in time is dropped, and it reads the table again: nobody waits for the slow.

    `pause_seconds`: what comes within that time after the last is handed on together.
    """

    def __init__(
        self, read: ReadFrames, touched: asyncio.Event, pause_seconds: float = 0.0
    ) -> None:
        self._read, self.touched, self._pause_seconds = read, touched, pause_seconds
        self._kept = deque[Frame]()
        self._since = self._until = 0  # kept is all that is numbered above the one, to the other
        self._listeners = set[asyncio.Event]()
        self._reading: asyncio.Task[None] | None = None
        self.ended = False  # by `stop`, or there is nothing to read any more

    @property
    def is_idle(self) -> bool:
        return not self._listeners

    async def follow(self, after: int) -> AsyncGenerator[Batch]:
        """Yield what comes after that number, until the last frame or the feed's end."""
        news = asyncio.Event()
        self._listeners.add(news)
        try:
            while not self.ended:
                news.clear()
                batch = await self._take(after)
                if batch:
                    yield batch
                    after = batch[-1].seq
                    if batch[-1].is_last:
                        return
                elif batch is not None and not self.ended:
                    await news.wait()
        finally:
            self._listeners.discard(news)

    def stop(self) -> None:
        """Let all who listen end."""
        self.ended = True
        self.touched.set()
        for news in self._listeners:
            news.set()

    async def close(self) -> None:
        if self._reading:
            await end_tasks(self._reading)

    async def _take(self, after: int) -> Batch | None:
        """Return what there is after that number; None: the database was out of reach."""
        if self._reading and after >= self._since:
            return [frame for frame in self._kept if frame.seq > after]
        try:
            batch = await read_whole(self._read, after)
        except NotFound:
            self.ended = True
            return ()
        except StoreUnavailable:
            await asyncio.sleep(RETRY_SECONDS)
            return None
        if not batch and not self._reading:
            self._begin(after)
        return batch

    def _begin(self, after: int) -> None:
        """Read for all from here on; the first who has caught up says from where."""
        self._since = self._until = after
        self.touched.set()
        self._reading = asyncio.create_task(self._keep_reading())

    async def _keep_reading(self) -> None:
        while not self.ended:
            await self.touched.wait()
            self.touched.clear()
            try:
                batch = await read_whole(self._read, self._until)
            except NotFound:
                self.stop()
            except StoreUnavailable:
                await asyncio.sleep(RETRY_SECONDS)
                self.touched.set()
            else:
                await self._hand_on(batch)

    async def _hand_on(self, batch: Batch) -> None:
        """Wake the listeners, a few at a time, then leave the loop to others for a while."""
        if not batch:
            return
        self._keep(batch)
        for number, news in enumerate(tuple(self._listeners), 1):
            news.set()
            if number % WOKEN_AT_ONCE == 0:
                await asyncio.sleep(0)
        pause_seconds = PAUSE_SECONDS * len(self._listeners)
        if len(batch) >= FRAMES_AT_ONCE:
            self.touched.set()  # there may be more
        else:
            pause_seconds = max(pause_seconds, self._pause_seconds)
        await asyncio.sleep(pause_seconds)

    def _keep(self, batch: Batch) -> None:
        self._kept.extend(batch)
        self._until = batch[-1].seq
        while len(self._kept) > FRAMES_AT_ONCE:
            self._since = self._kept.popleft().seq


async def read_whole(read: ReadFrames, after: int) -> Batch:
    """Read to the end: a reader who leaves must not break a connection of the pool."""
    return await asyncio.shield(read(after))
