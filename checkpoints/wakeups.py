"""One LISTEN connection a process.

Whoever waits for a run, or for any, is woken when a transaction touched it: in this process by
whoever has committed it, in others by a NOTIFY behind it. A NOTIFY inside would let all commits of
a Postgres wait for each other, each for the disk by itself.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from uuid import uuid4

from psycopg import Error, sql

from hitl_orchestrator.checkpoints.claims import LEFT_CHANNEL
from hitl_orchestrator.checkpoints.events import CANCELLED_CHANNEL, CHANNEL
from hitl_orchestrator.checkpoints.pool import Pool, connection
from hitl_orchestrator.checkpoints.session import Connection, open_whole
from hitl_orchestrator.checkpoints.tasks import end_tasks
from hitl_orchestrator.domain.errors import StoreUnavailable

# it is looked that often anyway: a NOTIFY may be lost while the connection is away, or with a
# process that dies between its commit and that
NET_SECONDS = 2.0
TELL_SECONDS = 0.02  # what is committed that soon after a NOTIFY goes with the next one
HEARD_SECONDS = 600.0  # so long who was heard is taken to be there, whatever the fleet knows
END_SECONDS = 1.0  # of patience at the end: the database may be out of reach
GREETING = ""  # instead of a run's id: a process that has begun to listen
LOOK_SECONDS = 5.0  # so often: is the connection that listens still alive?
# Others that notify wait for it, so it does not wait for the disk: what it says may be lost.
TELL = """SELECT set_config('synchronous_commit', 'off', true),
    count(pg_notify(%s, run_id || ' ' || %s)) FROM unnest(%s::text[]) AS t (run_id)"""
VERSIONS = """SELECT run_id, xmin::text AS version FROM orchestrator_runs
    WHERE run_id = ANY(%s)"""


class Wakeups:
    """Opened by `async with`.

    Events are set, never cleared, here: whoever waits clears its own before it reads.
    """

    def __init__(
        self,
        conninfo: str,
        on_cancelled: Callable[[str], None],
        on_left: Callable[[], None] = lambda: None,
        pool: Pool | None = None,
        has_others: Callable[[], bool] = lambda: False,
    ) -> None:
        """`pool`: to look what was touched without a word, and to tell others; None: nobody does.

        `has_others`: whether other processes of the database are known, which are to be told.
        """
        self._conninfo, self._on_cancelled, self._pool = conninfo, on_cancelled, pool
        self._on_left, self._has_others = on_left, has_others
        self._name = uuid4().hex  # so that this process does not listen to itself
        self._heard = set[str]()
        self._heard_until = 0.0
        self._untold = set[str]()
        self._has_news = asyncio.Event()
        self._versions: dict[str, str] = {}
        self._waiting: dict[str | None, set[asyncio.Event]] = defaultdict(set)

    async def __aenter__(self) -> "Wakeups":
        self._tasks = [
            asyncio.create_task(self._listen()),
            asyncio.create_task(self._cast_the_net()),
            asyncio.create_task(self._tell_when_there_is_news()),
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        last_words = asyncio.create_task(self._tell_others())
        await asyncio.wait([last_words], timeout=END_SECONDS)
        await end_tasks(last_words, *self._tasks, within_seconds=END_SECONDS)

    @contextmanager
    def subscribed(self, run_id: str | None) -> Generator[asyncio.Event]:
        """Give an event that is set when that run was touched; None: any run."""
        event = self.subscribe(run_id)
        try:
            yield event
        finally:
            self.unsubscribe(run_id, event)

    def subscribe(self, run_id: str | None) -> asyncio.Event:
        event = asyncio.Event()
        self._waiting[run_id].add(event)
        return event

    def unsubscribe(self, run_id: str | None, event: asyncio.Event) -> None:
        """Do nothing where it was done before."""
        waiting = self._waiting.get(run_id, set())
        waiting.discard(event)
        if not waiting:
            self._waiting.pop(run_id, None)

    async def _listen(self) -> None:
        while True:
            with suppress(Error):
                async with await open_whole(self._conninfo) as conn:
                    for channel in (CHANNEL, CANCELLED_CHANNEL, LEFT_CHANNEL):
                        await conn.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
                    await conn.execute(TELL, (CHANNEL, self._name, [GREETING]))
                    self._wake_all()  # for what happened while nobody listened
                    while True:
                        await self._take_notices(conn)
                        # A connection that is dead says nothing either. A Sync is no statement.
                        async with conn.pipeline():
                            pass
            await asyncio.sleep(NET_SECONDS)

    async def _take_notices(self, conn: Connection) -> None:
        """Do what notices say, until there has been time for a look at the connection."""
        async for notice in conn.notifies(timeout=LOOK_SECONDS):
            if notice.channel == CANCELLED_CHANNEL:
                self._on_cancelled(notice.payload)
            elif notice.channel == LEFT_CHANNEL:
                self._on_left()
            else:
                self._hear(notice.payload)

    def _hear(self, payload: str) -> None:
        """Wake who waits for the run. Without a name it comes from an older program, or anybody."""
        run_id, is_named, name = payload.rpartition(" ")
        if not is_named:
            self.wake(payload)
        elif name != self._name:
            if name not in self._heard:
                self._heard.add(name)
                self._say(GREETING)  # who has just come may not know of us either
            self._heard_until = time.monotonic() + HEARD_SECONDS
            if run_id != GREETING:
                self.wake(run_id)

    @property
    def _knows_others(self) -> bool:
        return self._has_others() or time.monotonic() < self._heard_until

    def tell(self, run_id: str) -> None:
        """Wake who waits for the run, which was touched by what this process has committed."""
        self.wake(run_id)
        if self._knows_others:
            self._say(run_id)

    def _say(self, run_id: str) -> None:
        self._untold.add(run_id)
        self._has_news.set()

    async def _tell_when_there_is_news(self) -> None:
        while True:
            await self._has_news.wait()
            await self._tell_others()
            await asyncio.sleep(TELL_SECONDS)

    async def _tell_others(self) -> None:
        """Tell all that is untold. Where the database is away the others look by themselves."""
        self._has_news.clear()
        run_ids, self._untold = [*self._untold], set[str]()
        if run_ids and self._pool:
            with suppress(StoreUnavailable):
                async with connection(self._pool) as conn:
                    await conn.execute(TELL, (CHANNEL, self._name, run_ids))

    async def _cast_the_net(self) -> None:
        while True:
            await asyncio.sleep(NET_SECONDS)
            await self._wake_the_missed()

    async def _wake_the_missed(self) -> None:
        """Wake who waits for any run, or for one that is not as it was at the last look.

        One look for all of them: thousands may wait for what nobody touches.
        """
        # what is named in words is looked at by who waits for it
        run_ids = [run_id for run_id in self._waiting if run_id and " " not in run_id]
        try:
            now = await self._find_versions(run_ids)
        except StoreUnavailable:
            now = {}
        before, self._versions = self._versions, now
        for run_id in run_ids:
            if run_id not in now or before.get(run_id) != now[run_id]:
                self._set(run_id)
        self._set(None)

    async def _find_versions(self, run_ids: Sequence[str]) -> dict[str, str]:
        """Return what changes with each change of a run, of those that are there."""
        if self._pool is None or not run_ids:
            return {}
        async with connection(self._pool) as conn:
            rows = await (await conn.execute(VERSIONS, (run_ids,))).fetchall()
        return {row["run_id"]: row["version"] for row in rows}

    def wake(self, run_id: str) -> None:
        """Wake who waits for the run, or for any."""
        self._set(run_id)
        self._set(None)

    def _set(self, run_id: str | None) -> None:
        for event in self._waiting.get(run_id, ()):
            event.set()

    def _wake_all(self) -> None:
        for run_id in self._waiting:
            self._set(run_id)
