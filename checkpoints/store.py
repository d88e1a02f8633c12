"""The store: transactions for what people decide, units for who drives, and what is read."""

from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from typing import Any, NamedTuple

from hitl_orchestrator.checkpoints import (
    claims,
    events,
    idempotency,
    kept,
    listing,
    processes,
    requests,
    threads,
    writing,
)
from hitl_orchestrator.checkpoints.claims import Offers, Taker
from hitl_orchestrator.checkpoints.clock import DatabaseClock
from hitl_orchestrator.checkpoints.flushing import flushing
from hitl_orchestrator.checkpoints.kept import (
    FRESH_SECONDS,
    WRITING_SECONDS,
    KeptRun,
    Moment,
    Seen,
)
from hitl_orchestrator.checkpoints.pool import (
    Connection,
    Pool,
    blaming_the_database,
    connection,
)
from hitl_orchestrator.checkpoints.processes import Known, Process
from hitl_orchestrator.checkpoints.remembered import Remembered, Remembering
from hitl_orchestrator.checkpoints.rowsets import Rowsets
from hitl_orchestrator.checkpoints.saver import (
    BufferedSaver,
    Collected,
    has_finished_work,
    not_yet_written,
)
from hitl_orchestrator.checkpoints.starts import Start, Starts
from hitl_orchestrator.checkpoints.transaction import (
    ClaimInline,
    Dispatch,
    Overtaken,
    PgTransaction,
)
from hitl_orchestrator.checkpoints.writing import Extras
from hitl_orchestrator.domain.errors import Conflict, Fenced, Invalid, NotFound
from hitl_orchestrator.domain.events import Event
from hitl_orchestrator.domain.hitl import AnsweredRequest, HitlRequest, QueueCounts
from hitl_orchestrator.domain.ports import (
    Change,
    Claim,
    Committed,
    Decide,
    Frame,
    Locked,
    Page,
    RunRef,
    Update,
    WaitingRun,
    Wanted,
    WantedThreads,
)
from hitl_orchestrator.domain.run import Run, RunStatus

# What is scraped every few seconds counts so many rows at most; above that it is what Postgres
# estimates.
COUNTED_AT_MOST = 1_000
TELLING_TRIES = 2  # others may write the run in between; then it is lost
_DEPTH = f"""SELECT CASE WHEN n < %(most)s THEN n ELSE greatest(n, (SELECT reltuples FROM pg_class
        WHERE oid = 'hitl_requests_waiting'::regclass))::bigint END AS depth,
    coalesce(extract(epoch FROM now() - {requests.OLDEST}), 0)::float AS oldest
    FROM (SELECT count(*) AS n FROM (SELECT FROM hitl_requests WHERE status = 'pending'
        LIMIT %(most)s) AS limited) AS counted"""  # noqa: S608
_HELD = """SELECT count(*) AS held FROM (SELECT FROM orchestrator_runs WHERE held IS NOT NULL
    LIMIT %(most)s) AS limited"""


class Handed(NamedTuple):
    """A run as it was when this process claimed it, and, where it was remembered, what of it."""

    seen: Seen
    recalled: Remembered | None = None


class Store:
    """Implements domain.ports.Memory.

    `dispatch` sees to it that a started or answered run is driven; `committed` is told of each
    committed change. `keeping`: the connections of heartbeats and sweeps; None: no others.
    """

    def __init__(
        self,
        pool: Pool,
        saver: BufferedSaver,
        dispatch: Dispatch,
        committed: Committed,
        offers: Offers = None,
        keeping: Pool | None = None,
        clock: DatabaseClock | None = None,
    ) -> None:
        self.pool, self.saver, self.dispatch, self.committed = pool, saver, dispatch, committed
        self.offers = offers
        self.keeping = keeping or pool
        self.clock = clock or DatabaseClock(settle_seconds=0)
        self.written: Callable[[KeptRun], None] = lambda run: None  # told of what was written
        self.remembering = Remembering()
        self.starts = Starts()
        self._handed: dict[Claim, Handed] = {}

    @asynccontextmanager
    async def transaction(
        self, *, keeps: bool = False, dispatch: Dispatch | None = None
    ) -> AsyncGenerator[PgTransaction]:
        """Open one. `keeps`: it is a sweep's, on connections kept aside for that.

        `dispatch`: another than the store's.
        """
        async with connection(self.keeping if keeps else self.pool) as conn, conn.transaction():
            tx = PgTransaction(conn, dispatch or self.dispatch, self.clock)
            yield tx
        self.tell(tx)

    @asynccontextmanager
    async def alone(self, *, puts_off: bool = False) -> AsyncGenerator[PgTransaction]:
        """Open what writes once, by one statement. It raises Overtaken where others were first.

        And where a remembered run refuses: it may be another by now. `puts_off`: a start is
        written with the first durable moment of its run (starts.py).
        """
        async with connection(self.pool) as conn:
            tx = PgTransaction(
                conn,
                self.dispatch,
                self.clock,
                locks=False,
                puts_off=puts_off,
                memory=self.remembering,
            )
            try:
                yield tx
            except (NotFound, Invalid, Conflict) as refused:
                if tx.recalled is None:
                    raise
                self.remembering.forget(tx.recalled.kept.run.runId)
                raise Overtaken from refused
        self.tell(tx)

    @property
    def may_write_alone(self) -> bool:
        """Tell whether a decision is one statement, with what sees to it that the run goes on."""
        return isinstance(self.dispatch, ClaimInline)

    @asynccontextmanager
    async def unit(self, claim: Claim) -> AsyncGenerator["PgUnit"]:
        async with self.saver.unit() as collected:
            yield PgUnit(self, claim, collected)

    def tell(self, tx: PgTransaction) -> None:
        if tx.start:
            self.starts.keep(tx.start)
        for run, happened in tx.events:
            self.committed(run, happened)
            self.written(tx.kept[run.runId])
            self.remembering.forget(run.runId)
        for claim in tx.claims:
            if seen := tx.seen.get(claim.run_id):
                self._handed[claim] = Handed(seen, tx.recalled)

    def take_handed(self, claim: Claim) -> "Handed | None":
        """Return, once, what was known when it was claimed here; None: nothing."""
        return self._handed.pop(claim, None)

    # -- reading

    async def show(self, ref: RunRef) -> Run:
        """Return a run. Raise NotFound, or Invalid when run and thread disagree."""
        if ref.run_id:
            await self.starts.until_written(ref.run_id)
        async with connection(self.pool) as conn:
            return (await kept.read(conn, ref, self.clock.read())).kept.show()

    async def request(self, request_id: str) -> AnsweredRequest:
        """Return a request with its answer. Raise NotFound."""
        async with connection(self.pool) as conn:
            row = await (await conn.execute(requests.ONE, (request_id,))).fetchone()
        if row is None:
            raise NotFound(f"There is no request {request_id}.")
        return requests.answered_of(row)

    async def requests(self, wanted: Wanted, limit: int, cursor: str | None) -> Page[HitlRequest]:
        async with self._snapshot() as conn:
            return await listing.requests_in_order(conn, wanted, limit, cursor)

    async def count_pending(self) -> QueueCounts:
        async with connection(self.pool) as conn:
            return await listing.count_pending(conn)

    async def newest(
        self,
        status: RunStatus | None,
        thread_id: str | None,
        limit: int,
        cursor: str | None,
        prefix: str | None,
    ) -> Page[Run]:
        async with connection(self.pool) as conn:
            return await listing.newest(conn, status, thread_id, limit, cursor, prefix)

    async def waiting(
        self,
        agent: str | None,
        urgency: str | None,
        thread_id: str | None,
        limit: int,
        cursor: str | None,
    ) -> Page[WaitingRun]:
        async with self._snapshot() as conn:
            return await listing.waiting(conn, agent, urgency, thread_id, limit, cursor)

    async def threads(self, wanted: WantedThreads, offset: int, limit: int) -> list[Run]:
        async with self._snapshot() as conn:
            return await threads.list_threads(conn, wanted, offset, limit)

    async def count_threads(self, wanted: WantedThreads) -> int:
        async with self._snapshot() as conn:
            return await threads.count_threads(conn, wanted)

    async def questions(
        self, wanted: WantedThreads, offset: int, limit: int
    ) -> list[tuple[Run, HitlRequest]]:
        async with self._snapshot() as conn:
            return await threads.list_questions(conn, wanted, offset, limit)

    async def count_questions(self, wanted: WantedThreads) -> int:
        async with self._snapshot() as conn:
            return await threads.count_questions(conn, wanted)

    async def has_asked_elsewhere(self, thread_id: str, run_id: str) -> bool:
        async with connection(self.pool) as conn:
            return await threads.has_asked_elsewhere(conn, thread_id, run_id)

    async def frames(self, run_id: str, after: int, limit: int = 500) -> list[Frame]:
        await self.starts.until_written(run_id)
        async with connection(self.pool) as conn:
            return [Frame(*one) for one in await events.of_run(conn, run_id, after, limit)]

    async def frames_without_progress(self, run_id: str, limit: int) -> list[Frame]:
        async with connection(self.pool) as conn:
            return [Frame(*one) for one in await events.without_progress(conn, run_id, limit)]

    async def newest_frames(self, run_id: str, limit: int) -> list[Frame]:
        async with connection(self.pool) as conn:
            return [Frame(*one) for one in await events.newest(conn, run_id, limit)]

    async def queue_frames(self, after: int, limit: int = 500) -> list[Frame]:
        async with connection(self.pool) as conn:
            await events.number_some(conn)
            return [Frame(*one) for one in await events.of_queue(conn, after, limit)]

    async def last_queue_frame(self) -> int:
        async with connection(self.pool) as conn:
            return await events.number_the_queue(conn)

    async def number_queue(self) -> bool:
        """Number frames of the queue that are new. Return whether there may be more of them."""
        async with connection(self.keeping) as conn:
            return await events.number_some(conn)

    async def queue_depth(self) -> tuple[int, float]:
        """Return how many requests are pending, and the age of the oldest in seconds.

        Above COUNTED_AT_MOST it is an estimate.
        """
        async with connection(self.pool) as conn:
            row = await (await conn.execute(_DEPTH, {"most": COUNTED_AT_MOST})).fetchone()
        return (row["depth"], row["oldest"]) if row else (0, 0.0)

    async def count_held(self) -> int:
        """Return how many runs are held, COUNTED_AT_MOST at most."""
        async with connection(self.pool) as conn:
            row = await (await conn.execute(_HELD, {"most": COUNTED_AT_MOST})).fetchone()
        return row["held"] if row else 0

    @asynccontextmanager
    async def _snapshot(self) -> AsyncGenerator[Connection]:
        """Let all statements see the same moment."""
        async with connection(self.pool) as conn, conn.transaction():
            await conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield conn

    # -- which processes live, and what they have

    async def report(self, process: Process, lease: timedelta) -> Known:
        """Say that this process lives."""
        asked_at = self.clock.monotonic()
        async with connection(self.keeping) as conn:
            known = await processes.report(conn, process, lease, self.clock.read())
        self.clock.observe(known.now, asked_at)
        return known

    async def sign_off(self, process_ids: Sequence[str]) -> None:
        async with connection(self.keeping) as conn:
            await processes.sign_off(conn, process_ids)

    async def unfitting(self, offers: Collection[str], paused_too: bool) -> list[str]:
        """Return unfinished runs that nobody can go on with, as `processes.unfitting` has it."""
        async with connection(self.keeping) as conn:
            return await processes.unfitting(conn, offers, paused_too, self.clock.read())

    # -- who drives what

    async def take(self, claim: Claim, taker: Taker) -> Claim | None:
        async with connection(self.saver.pool) as conn:
            return await claims.take(conn, claim, taker)

    async def take_lapsed(self, token: str, taker: Taker, limit: int) -> list[Claim]:
        async with connection(self.keeping) as conn:
            return await claims.take_lapsed(conn, token, taker, limit)

    async def take_left(self, token: str, taker: Taker, limit: int) -> list[Claim]:
        async with connection(self.keeping) as conn:
            return await claims.take_left(conn, token, taker, limit)

    async def leave(self, run_id: str) -> bool:
        async with connection(self.saver.pool) as conn:
            return await claims.leave(conn, run_id, self.offers)

    async def lapsed(self, left_alone: timedelta, limit: int) -> list[tuple[str, str]]:
        """Return (run, thread) of what nobody drives."""
        async with connection(self.keeping) as conn:
            return await claims.lapsed(conn, left_alone, limit, self.clock.read())

    async def beat(self, held: Sequence[Claim], lease: timedelta) -> set[tuple[str, str]]:
        """Keep claims. Return (run, token) of those that are still held."""
        unwritten = self.starts.list_claims()
        async with connection(self.keeping) as conn:
            return unwritten | await claims.beat(conn, held, lease)

    async def pass_on(self, claim: Claim) -> None:
        """Give the claim of a run that this process has no place for to whoever has one."""
        self.take_handed(claim)
        await self.write_start(claim.run_id)
        async with connection(self.keeping) as conn:
            await claims.pass_on(conn, claim)

    async def write_start(self, run_id: str, *, drives: bool = False) -> None:
        """Write a start by itself, if it is not written yet. `drives`: who claimed it goes on."""
        if (start := self.starts.find(run_id)) is None:
            return
        change, extras = start.change, Extras(start.claiming if drives else None)
        new, began_at = kept.begin(change.run), start.moment.now
        async with connection(self.saver.pool) as conn:
            written = await writing.write(conn, new, change, began_at, extras)
        if written:
            self.settle_start(start)
            self.written(written.kept)
        self.starts.settle(run_id)  # else it was, and the reply lost

    def settle_start(self, start: Start) -> None:
        self.starts.settle(start.claim.run_id)
        self.committed(start.change.run, start.change.events)

    async def release(self, claim: Claim, driver: str | None) -> None:
        """Give the claim back. `driver`: it has ended all its work on the run; None: it has not."""
        async with connection(self.saver.pool) as conn:
            await claims.release(conn, claim, driver)

    async def keep_working(self, run_ids: Sequence[str], driver: str, lease: timedelta) -> None:
        async with connection(self.keeping) as conn:
            await claims.keep_working(conn, run_ids, driver, lease)

    async def expired(self, after: str, limit: int) -> list[str]:
        """Return the runs behind that one, by their ids, with a question whose time is over."""
        values = {"after": after, "limit": limit}
        async with connection(self.keeping) as conn:
            rows = await (await conn.execute(requests.EXPIRED, values)).fetchall()
        return [row["run_id"] for row in rows]

    async def forget_old_keys(self) -> None:
        async with connection(self.keeping) as conn:
            await idempotency.forget(conn)


class PgUnit:
    """Implements domain.ports.Unit."""

    def __init__(self, store: Store, claim: Claim, collected: Collected) -> None:
        self._store, self._claim, self._collected = store, claim, collected
        self._pool = store.saver.pool
        self._ref = RunRef(claim.run_id)
        handed = store.take_handed(claim)
        self._seen = handed and handed.seen
        if start := self._start:
            self._seen = Seen(start.moment)
            self._collected.changed.set()  # a start is written soon, whatever comes of it
        self.is_new = False
        self.notes: dict[str, Any] = {}
        if handed and handed.recalled:
            self.notes |= handed.recalled.notes
            self._collected.images |= handed.recalled.images
        store.remembering.forget(claim.run_id)

    async def look(self) -> Locked:
        # not locked, which would cost a commit: a flush finds out whether it is so still
        with blaming_the_database():
            moment = await self._see()
        if moment.kept.run.claimToken != self._claim.token:
            raise Fenced(f"Run {self._claim.run_id} is driven by another process.")
        self._collected.owns_thread = moment.kept.run.owns_thread
        self.is_new = self._collected.are_new = moment.is_new
        return moment.kept.lock(moment.now)

    async def _see(self, most_seconds: float = FRESH_SECONDS) -> Moment:
        """Return the run as this unit wrote it last; as it is, if that was longer ago."""
        moment = self._seen and self._seen.recall(most_seconds)
        is_start = moment is not None and not moment.kept.version
        if moment is None or (is_start and self._start is None):
            async with connection(self._pool) as conn:
                moment = await self._read(conn)
            self._seen = Seen(moment)
        return moment

    @property
    def _start(self) -> Start | None:
        """Return the start of the run as long as it is not written."""
        return self._store.starts.find(self._claim.run_id)

    async def _read(self, conn: Connection) -> Moment:
        start = self._start
        try:
            moment = await kept.read(conn, self._ref, self._store.clock.read())
        except NotFound:
            if start is None:
                raise
            return start.moment.at(await kept.read_time(conn))
        self._store.starts.settle(self._claim.run_id)  # it was written, and the reply lost
        return moment

    def begin(self, thread_id: str, given: Sequence[tuple[str, Any]]) -> None:
        self._collected.given = thread_id, given

    async def flush(self, decide: Decide) -> Change:
        async def write(rows: Rowsets, updates: list[Update]) -> tuple[Change, KeptRun]:
            while True:
                moment = await self._see(WRITING_SECONDS)
                fresh = not_yet_written(updates, moment.kept.counters.last_update_id)
                change = decide(moment.kept.lock(moment.now), fresh)
                extras = Extras(
                    rows=rows,
                    last_update_id=updates[-1].id if updates else None,
                    got_further=change.run.claimToken is None or has_finished_work(fresh),
                )
                start = self._start
                if start and change.run.stillWorking:  # which only a run that is claimed can be
                    await self._store.write_start(self._claim.run_id, drives=True)
                    continue
                whole, extras = start.join(change, extras) if start else (change, extras)
                self._seen = None  # whatever comes of it
                async with connection(self._pool) as conn:
                    written = await writing.write(conn, moment.kept, whole, moment.now, extras)
                if written:
                    self._seen = Seen(written)
                    if start:
                        self._store.settle_start(start)
                    self._store.remembering.see_time(written.now)
                    return change, written.kept

        with blaming_the_database():
            change, run = await self._store.saver.flush(self._collected, write)
        self._store.committed(change.run, change.events)
        self._store.written(run)
        if change.run.status is RunStatus.AWAITING_HITL and self._store.may_write_alone:
            remembered = Remembered(run, self._collected.images, self.notes)
            self._store.remembering.keep(remembered)
        return change

    @property
    def is_behind(self) -> bool:
        return self._collected.changed.is_set()

    async def tell(self, happened: Sequence[Event]) -> bool:
        with blaming_the_database():
            async with self._collected.lock:
                for _ in range(TELLING_TRIES):
                    moment = await self._see()
                    if moment.kept.run.claimToken != self._claim.token:
                        return False
                    self._seen = None  # whatever comes of it
                    async with connection(self._pool) as conn:
                        written = await writing.tell(conn, moment.kept, happened, moment.now)
                    if written:
                        self._seen = Seen(written)
                        self._store.committed(written.kept.run, happened)
                        self._store.written(written.kept)
                        break
        return True

    def flushing(self, decide: Decide) -> AbstractAsyncContextManager[None]:
        async def flush() -> None:
            await self.flush(decide)

        return flushing(self._collected, flush)
