"""One use case, one transaction: the run locked, a decision, its rows."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from uuid import uuid4

from psycopg.errors import UniqueViolation

from hitl_orchestrator.checkpoints import (
    audit,
    claims,
    events,
    idempotency,
    processes,
    requests,
    runs,
)
from hitl_orchestrator.checkpoints.claims import Offers, Taker
from hitl_orchestrator.checkpoints.clock import DatabaseClock
from hitl_orchestrator.checkpoints.pool import Connection
from hitl_orchestrator.checkpoints.runs import Counters
from hitl_orchestrator.domain.errors import Conflict, StoreUnavailable, ThreadBusy
from hitl_orchestrator.domain.events import Event
from hitl_orchestrator.domain.needs import Asker, list_needs
from hitl_orchestrator.domain.ports import Change, Claim, Locked, Once, RunRef
from hitl_orchestrator.domain.records import JsonObject
from hitl_orchestrator.domain.run import Run, StoredRun, build_run_view

# Inside the transaction: see to it that the run is driven. A claim, if this process is to do it.
Dispatch = Callable[[Connection, StoredRun], Awaitable[Claim | None]]


def claim_inline(
    driver: str,
    lease_seconds: float,
    offers: Offers = None,
    clock: DatabaseClock | None = None,
    has_place: Callable[[], bool] = lambda: True,
) -> Dispatch:
    """Let the process that commits the start or the answer drive the run itself, if it can.

    Where it has no place for it the run is left to others, who are told with the commit.
    """
    lease = timedelta(seconds=lease_seconds)

    async def claim_run(conn: Connection, run: StoredRun) -> Claim | None:
        if not has_place():
            await claims.tell_left(conn, run.runId)
            return None
        taker = Taker(driver, lease, offers, believed=clock.read() if clock else None)
        return await claims.take(conn, Claim(run.runId, uuid4().hex), taker)

    return claim_run


class PgTransaction:
    """Implements domain.ports.Transaction. `events` and `claims` are for after the commit."""

    def __init__(
        self, conn: Connection, dispatch: Dispatch, clock: DatabaseClock | None = None
    ) -> None:
        self.conn = conn
        self._believed = clock.read() if clock else None
        self.events: list[tuple[StoredRun, Sequence[Event]]] = []
        self.claims: list[Claim] = []
        self._dispatch = dispatch
        self._counters: dict[str, Counters] = {}
        self._askers: dict[str, dict[str, Asker]] = {}
        self._now: datetime | None = None

    async def now(self) -> datetime:
        """Return the database's clock, the same throughout the transaction."""
        if self._now is None:
            row = await (await self.conn.execute("SELECT now() AS now")).fetchone()
            self._now = row["now"] if row else None
        if self._now is None:
            raise StoreUnavailable("The database gave no answer.")
        return self._now

    async def insert(self, change: Change) -> None:
        await runs.insert(self.conn, change.run, self._believed)
        await self.write(change)

    async def reopen(self, change: Change) -> None:
        thread_id = change.run.threadId
        await runs.free_thread(self.conn, thread_id, self._believed)
        try:
            async with self.conn.transaction():
                await self.write(change)
        except UniqueViolation as error:
            raise ThreadBusy(await runs.explain_busy(self.conn, thread_id)) from error

    async def lock(self, ref: RunRef) -> Locked:
        return await self._with_requests(await runs.lock(self.conn, ref, self._believed))

    async def lock_expired(self, run_id: str) -> bool:
        """Lock the run if nobody else has, and a question of it is over. Return whether."""
        cursor = await self.conn.execute(requests.LOCK_EXPIRED, (run_id,))
        return cursor.rowcount == 1

    async def read(self, ref: RunRef) -> Locked:
        """Return the run as it is now, not locked. Raise as `lock` does."""
        return await self._with_requests(await runs.find(self.conn, ref))

    async def _with_requests(self, row: runs.Row) -> Locked:
        run, counters, now = row
        self._counters[run.runId], self._now = counters, now
        # A statement of its own, after the lock: it sees what was committed while the lock was
        # waited for.
        rows = await requests.of_run(self.conn, run.runId) if counters.requests else []
        asked = [requests.of_row(row) for row in rows]
        settled = {row["request_id"]: found for row in rows if (found := requests.settled_of(row))}
        resolved = {
            row["request_id"]: found for row in rows if (found := requests.resolved_of(row))
        }
        askers = {row["request_id"]: asker for row in rows if (asker := requests.asker_of(row))}
        self._askers[run.runId] = askers
        return Locked(run, asked, settled, resolved, now, askers)

    def last_update_id(self, run_id: str) -> str | None:
        return self._counters[run_id].last_update_id

    async def write(
        self, change: Change, last_update_id: str | None = None, *, got_further: bool = True
    ) -> None:
        """Write it whole. `got_further`: from here its attempts are counted anew."""
        run, at = change.run, await self.now()
        counters = self._counters.get(run.runId, Counters())
        async with self.conn.pipeline():
            await requests.insert(self.conn, change.asked, counters.requests)
            settled = await requests.settle(self.conn, change.settled)
            await requests.respond(self.conn, change.responses)
            await requests.deliver(self.conn, change.delivered)
            await requests.fit(self.conn, change.fitted)
            count, head = await audit.append(
                self.conn, run.runId, counters.audit, counters.audit_head, change.events, at
            )
            seq = await events.append(self.conn, run, counters.events, change.events, at)
            asked = counters.requests + len(change.asked)
            counters = Counters(asked, seq, count, head, last_update_id or counters.last_update_id)
            self._askers[run.runId] = askers = self._list_askers(change)
            needs = list_needs(run, askers.values())
            await runs.update(self.conn, run, counters, needs, got_further=got_further)
            if change.asked or change.settled:
                await self.conn.execute(runs.MARK_PENDING, (run.runId,))
        if any(cursor.rowcount != 1 for cursor in settled):
            raise Conflict(f"A request of run {run.runId} is not pending any more.")
        self._counters[run.runId] = counters
        self.events.append((run, change.events))
        if change.drive and (claim := await self._dispatch(self.conn, run)):
            self.claims.append(claim)

    def _list_askers(self, change: Change) -> dict[str, Asker]:
        """Return who still waits for the delivery of an answer, once this is written."""
        askers = dict(self._askers.get(change.run.runId, {}))
        for asked in change.asked:
            if asked.waits:
                askers[asked.request.requestId] = Asker(
                    asked.request.originAgent, asked.request.stepId, asked.agentFingerprint
                )
        for request_id, fingerprint in change.fitted.items():
            askers[request_id] = askers[request_id]._replace(fingerprint=fingerprint)
        for request in change.delivered:
            askers.pop(request.requestId, None)
        return askers

    async def has_fitting(self, needs: Collection[str]) -> bool:
        return await processes.has_fitting(self.conn, needs, self._believed)

    async def show(self, run_id: str) -> Run:
        """Return the run as it will be when this commits."""
        run, _, _ = await runs.lock(self.conn, RunRef(run_id), self._believed)
        asked = [requests.of_row(row) for row in await requests.of_run(self.conn, run_id)]
        return build_run_view(run, asked, await audit.of_run(self.conn, run_id))

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
