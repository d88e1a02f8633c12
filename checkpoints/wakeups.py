"""One LISTEN connection a process.

Whoever waits for a run, or for any, is woken when a transaction touched it.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress

from psycopg import Error, sql

from hitl_orchestrator.checkpoints.claims import LEFT_CHANNEL
from hitl_orchestrator.checkpoints.events import CANCELLED_CHANNEL, CHANNEL
from hitl_orchestrator.checkpoints.pool import open_whole
from hitl_orchestrator.checkpoints.tasks import end_tasks

# everybody is woken that often anyway: a NOTIFY may be lost while the connection is away
NET_SECONDS = 2.0


class Wakeups:
    """Opened by `async with`.

    Events are set, never cleared, here: whoever waits clears its own before it reads.
    """

    def __init__(
        self,
        conninfo: str,
        on_cancelled: Callable[[str], None],
        on_left: Callable[[], None] = lambda: None,
    ) -> None:
        self._conninfo, self._on_cancelled = conninfo, on_cancelled
        self._on_left = on_left
        self._waiting: dict[str | None, set[asyncio.Event]] = defaultdict(set)

    async def __aenter__(self) -> "Wakeups":
        self._tasks = [
            asyncio.create_task(self._listen()),
            asyncio.create_task(self._cast_the_net()),
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        await end_tasks(*self._tasks)

    @contextmanager
    def subscribed(self, run_id: str | None) -> Generator[asyncio.Event]:
        """Give an event that is set when that run was touched; None: any run."""
        event = asyncio.Event()
        self._waiting[run_id].add(event)
        try:
            yield event
        finally:
            self._waiting[run_id].discard(event)
            if not self._waiting[run_id]:
                del self._waiting[run_id]

    async def _listen(self) -> None:
        while True:
            with suppress(Error):
                async with await open_whole(self._conninfo) as conn:
                    for channel in (CHANNEL, CANCELLED_CHANNEL, LEFT_CHANNEL):
                        await conn.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
                    self._wake_all()  # for what happened while nobody listened
                    async for notice in conn.notifies():
                        if notice.channel == CANCELLED_CHANNEL:
                            self._on_cancelled(notice.payload)
                        elif notice.channel == LEFT_CHANNEL:
                            self._on_left()
                        else:
                            self._wake(notice.payload)
            await asyncio.sleep(NET_SECONDS)

    async def _cast_the_net(self) -> None:
        while True:
            await asyncio.sleep(NET_SECONDS)
            self._wake_all()

    def _wake(self, run_id: str) -> None:
        for event in (*self._waiting.get(run_id, ()), *self._waiting.get(None, ())):
            event.set()

    def _wake_all(self) -> None:
        for events in self._waiting.values():
            for event in events:
                event.set()
