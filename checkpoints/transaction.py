"""One use case: the run as it is, a decision, its rows.

In a transaction with the run locked; or alone, by one statement that writes nothing where somebody
else was first (`Overtaken`).
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from uuid import uuid4

from psycopg.errors import UniqueViolation

from hitl_orchestrator.checkpoints import claims, idempotency, kept, processes, requests, runs
from hitl_orchestrator.checkpoints.claims import LEFT_CHANNEL, Offers, Taker
from hitl_orchestrator.checkpoints.clock import DatabaseClock
from hitl_orchestrator.checkpoints.kept import KeptRun, Moment, Seen
from hitl_orchestrator.checkpoints.pool import Connection
from hitl_orchestrator.checkpoints.remembered import Remembered, Remembering
from hitl_orchestrator.checkpoints.starts import Start, put_off
from hitl_orchestrator.checkpoints.writing import Claiming, Extras, write
from hitl_orchestrator.domain.errors import ThreadBusy
from hitl_orchestrator.domain.events import Event
from hitl_orchestrator.domain.needs import list_needs
from hitl_orchestrator.domain.ports import Change, Claim, Locked, Once, RunRef
from hitl_orchestrator.domain.records import JsonObject
from hitl_orchestrator.domain.run import Run, StoredRun

# Inside the transaction: see to it that the run is driven. A claim, if this process is to do it.
Dispatch = Callable[[Connection, StoredRun], Awaitable[Claim | None]]


class Overtaken(Exception):
    """Somebody else has changed the run since it was read: read it again, and decide again."""


class ClaimInline:
    """Let the process that commits the start or the answer drive the run itself, if it can.

    Where it has no place for it the run is left to others, who are told with the commit.
    """

    def __init__(
        self,
        driver: str,
        lease_seconds: float,
        offers: Offers = None,
        clock: DatabaseClock | None = None,
        has_place: Callable[[], bool] = lambda: True,
    ) -> None:
        self._driver, self._lease = driver, timedelta(seconds=lease_seconds)
        self.offers, self._clock, self._has_place = offers, clock, has_place

    async def __call__(self, conn: Connection, run: StoredRun) -> Claim | None:
        if not self._has_place():
            await claims.tell_left(conn, run.runId)
            return None
        believed = self._clock.read() if self._clock else None
        taker = Taker(self._driver, self._lease, self.offers, believed=believed)
        return await claims.take(conn, Claim(run.runId, uuid4().hex), taker)

    def claim(self, needs: Collection[str]) -> Extras:
        """Return what to write with a change of a run that nobody drives."""
        if self.offers is not None and not set(needs) <= set(self.offers):
            return Extras()
        if not self._has_place():
            return Extras(channels=[LEFT_CHANNEL])
        return Extras(Claiming(uuid4().hex, self._driver, self._lease))


class PgTransaction:
    """Implements domain.ports.Transaction. `events` and `claims` are for after the commit.

    `locks`: it is a transaction; else each of its statements is one, and it writes but once.
    `puts_off`: a start is not written, if this process drives it: it is `start` after that.
    """

    def __init__(
        self,
        conn: Connection,
        dispatch: Dispatch,
        clock: DatabaseClock | None = None,
        *,
        locks: bool = True,
        puts_off: bool = False,
        memory: Remembering | None = None,
    ) -> None:
        self.conn = conn
        self._believed = clock.read() if clock else None
        self._memory = memory or Remembering()
        self.recalled: Remembered | None = None  # what it was decided by, instead of a look
        self.events: list[tuple[StoredRun, Sequence[Event]]] = []
        self.claims: list[Claim] = []
        self.kept: dict[str, KeptRun] = {}
        self.seen: dict[str, Seen] = {}  # as it was written
        self._dispatch = dispatch
        self._locks, self._puts_off = locks, puts_off
        self.start: Start | None = None
        self._now: datetime | None = None

    async def now(self) -> datetime:
        """Return the database's clock, the same throughout the transaction."""
        if self._now is None and not self._locks:
            self._now = self._memory.recall_time()
        if self._now is None:
            self._now = await kept.read_time(self.conn)
        return self._now

    async def insert(self, change: Change) -> None:
        """Write a new run. Raise ThreadBusy: another of its thread has not ended, or works on."""
        new = kept.begin(change.run)
        claiming = self._claim(new, change).claiming if self._puts_off else None
        if claiming:
            self.start = put_off(change, claiming, Moment(new, await self.now()))
            self.kept[change.run.runId] = self.start.moment.kept
            self.claims.append(self.start.claim)
            return
        if await self._write(new, change):
            return
        await runs.free_thread(self.conn, change.run.threadId, self._believed)
        if not await self._write(new, change):
            raise ThreadBusy(await runs.explain_busy(self.conn, change.run.threadId))

    async def reopen(self, change: Change) -> None:
        thread_id = change.run.threadId
        await runs.free_thread(self.conn, thread_id, self._believed)
        try:
            async with self.conn.transaction():
                await self.write(change)
        except UniqueViolation as error:
            self.claims.clear()
            raise ThreadBusy(await runs.explain_busy(self.conn, thread_id)) from error

    async def lock(self, ref: RunRef) -> Locked:
        if self._locks:
            return self._take(await kept.read_locked(self.conn, ref, self._believed))
        now = self._memory.recall_time()
        self.recalled = self._memory.find(ref.run_id) if now and ref.run_id else None
        if self.recalled and now:
            return self._take(Moment(self.recalled.kept, now).at(now).of(ref))
        return self._take(await kept.read(self.conn, ref, self._believed))

    async def lock_expired(self, run_id: str) -> bool:
        """Lock the run if nobody else has, and a question of it is over. Return whether."""
        cursor = await self.conn.execute(requests.LOCK_EXPIRED, (run_id,))
        return cursor.rowcount == 1

    async def read(self, ref: RunRef) -> Locked:
        """Return the run as it is now, not locked. Raise as `lock` does."""
        return self._take(await kept.read(self.conn, ref, self._believed))

    def _take(self, moment: Moment) -> Locked:
        self.kept[moment.kept.run.runId], self._now, _ = moment
        if self.recalled is None:
            self._memory.see_time(moment.now)
        return moment.kept.lock(moment.now)

    async def write(self, change: Change) -> None:
        """Write it whole. Raise Overtaken."""
        if not await self._write(self.kept[change.run.runId], change):
            self._memory.forget(change.run.runId)
            raise Overtaken

    async def _write(self, before: KeptRun, change: Change) -> bool:
        extras = self._claim(before, change)
        claim = extras.claiming and Claim(change.run.runId, extras.claiming.token)
        if claim:
            # before it is known whether it was written: the reply may be lost, and then who drives
            # looks first whether the claim is there
            self.claims.append(claim)
        written = await write(self.conn, before, change, await self.now(), extras)
        if written is None:
            if claim:
                self.claims.remove(claim)
            return False
        self.kept[change.run.runId] = written.kept
        self.seen[change.run.runId] = Seen(written)
        self._memory.see_time(written.now)
        self.events.append((change.run, change.events))
        if change.drive and not (claim or extras.channels):
            await self._dispatch_driven(change.run)
        return True

    def _claim(self, before: KeptRun, change: Change) -> Extras:
        """Return what is written with it so that the run is driven, where that takes no statement.

        A run that somebody drives may be driven by nobody: that is for the dispatch to find out.
        """
        is_free = change.run.claimToken is None
        if not (change.drive and is_free and isinstance(self._dispatch, ClaimInline)):
            return Extras()
        after = before.after(change, before.run.updatedAt)
        return self._dispatch.claim(list_needs(change.run, after.askers.values()))

    async def _dispatch_driven(self, run: StoredRun) -> None:
        if claim := await self._dispatch(self.conn, run):
            self.claims.append(claim)
            self.seen.pop(run.runId)  # it is claimed since

    async def has_fitting(self, needs: Collection[str]) -> bool:
        return await processes.has_fitting(self.conn, needs, self._believed)

    def show(self, run_id: str) -> Run:
        """Return the run as it will be when this commits."""
        return self.kept[run_id].show()

    @asynccontextmanager
    async def savepoint(self) -> AsyncGenerator[None]:
        """Undo what fails inside, and let the transaction go on."""
        before = len(self.events), len(self.claims)
        try:
            async with self.conn.transaction():
                yield
        except BaseException:
            del self.events[before[0] :], self.claims[before[1] :]
            raise

    async def find_outcome(self, once: Once) -> JsonObject | None:
        """Return what the first call with the key came to. Raise IdempotencyKeyReused."""
        return await idempotency.find(self.conn, once)

    async def keep_outcome(self, once: Once, outcome: JsonObject) -> None:
        await idempotency.keep(self.conn, once, outcome)
