"""A run with all that hangs on it: read by one statement, or known from what was written last."""

import json
import time
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from psycopg.rows import DictRow

from hitl_orchestrator.checkpoints import requests, runs
from hitl_orchestrator.checkpoints.pool import Connection
from hitl_orchestrator.checkpoints.runs import Counters
from hitl_orchestrator.domain.errors import Invalid, NotFound, StoreUnavailable
from hitl_orchestrator.domain.hitl import HitlRequest, Person, RequestStatus, Settled
from hitl_orchestrator.domain.needs import Asker
from hitl_orchestrator.domain.ports import Change, Locked, RunRef
from hitl_orchestrator.domain.run import AuditEntry, Run, StoredRun, build_run_view

SELECT = (
    runs.COLUMNS  # noqa: S608  # of constants
    + """, r.xmin::text AS version,
    (SELECT json_agg(q ORDER BY q.position) FROM ("""
    + requests.COLUMNS
    + """, r.position FROM hitl_requests r WHERE r.run_id = run.run_id) q) AS requests,
    (SELECT json_agg(a.body ORDER BY a.seq) FROM audit_entries a WHERE a.run_id = run.run_id)
        AS audit
    FROM orchestrator_runs r, LATERAL (SELECT r.run_id) run """
)
READ = SELECT + "WHERE r.run_id = %s"
READ_OF_THREAD = SELECT + "WHERE r.run_id = (" + runs.OF_THREAD + ")"
# Less than a lease: a process that was frozen for longer looks first whether it still has the run.
FRESH_SECONDS, DISAGREE_SECONDS = 1.0, 0.5
# Of who only writes, by a fence. After that a heartbeat has probably changed the row, and to read
# it at once costs less than to be refused and then read it.
WRITING_SECONDS = 3.0
LOCK = "SELECT FROM orchestrator_runs WHERE run_id = %s FOR UPDATE"


class KeptRequest(NamedTuple):
    """`fingerprint`: of the agent that asked. A guard's denial is not settled: nobody decided."""

    request: HitlRequest
    fingerprint: str = ""
    settled: Settled | None = None
    resolved: tuple[Person | None, datetime] | None = None

    @property
    def asker(self) -> Asker | None:
        """Return who asked, until the answer is delivered; None: nobody waits for one any more."""
        request = self.request
        is_refused_by_guard = request.status is RequestStatus.DENIED and self.settled is None
        if request.deliveredAt is not None or is_refused_by_guard:
            return None
        return Asker(request.pendingNodeId, request.stepId, self.fingerprint)


class Moment(NamedTuple):
    """`kept` as it was when the database said `now`. `is_new`: its thread has no checkpoint."""

    kept: "KeptRun"
    now: datetime
    is_new: bool = False

    def of(self, ref: RunRef) -> "Moment":
        """Return it. Raise Invalid when run and thread disagree."""
        run = self.kept.run
        if ref.thread_id not in (None, run.threadId):
            raise Invalid(f"Run {run.runId} is not of thread {ref.thread_id}.")
        return self

    def at(self, now: datetime) -> "Moment":
        """Return the same at another time, which is never before the run was changed last."""
        return self._replace(now=max(now, self.kept.run.updatedAt))


class SeenTime:
    """The database's time, for as long as it can be told from ours."""

    def __init__(self, now: datetime) -> None:
        self._then = now
        self._began, self._began_by_wall = time.monotonic(), time.time()

    def recall(self, most_seconds: float = FRESH_SECONDS) -> datetime | None:
        """Return the time as it is now, a little late rather than early; None: ask again."""
        elapsed, elapsed_by_wall = time.monotonic() - self._began, time.time() - self._began_by_wall
        # a machine that slept counts no time on the one clock; the other one may be set
        if elapsed > most_seconds or abs(elapsed - elapsed_by_wall) > DISAGREE_SECONDS:
            return None
        return self._then + timedelta(seconds=elapsed)


class Seen:
    """A moment, for as long as the database's time can be told from ours."""

    def __init__(self, moment: Moment) -> None:
        self._moment = moment
        self.time = SeenTime(moment.now)

    def recall(self, most_seconds: float = FRESH_SECONDS) -> Moment | None:
        """Return the run with the time as it is now; None: look again."""
        now = self.time.recall(most_seconds)
        return now and self._moment.at(now)


class KeptRun(NamedTuple):
    """`version` changes with each change of the run's row, whoever makes it."""

    run: StoredRun
    counters: Counters
    version: str
    requests: Mapping[str, KeptRequest]
    audit: tuple[AuditEntry, ...] = ()

    @property
    def askers(self) -> Mapping[str, Asker]:
        return {name: asker for name, one in self.requests.items() if (asker := one.asker)}

    def lock(self, now: datetime) -> Locked:
        kept = self.requests
        return Locked(
            self.run,
            [one.request for one in kept.values()],
            {name: one.settled for name, one in kept.items() if one.settled},
            {name: one.resolved for name, one in kept.items() if one.resolved},
            now,
            self.askers,
        )

    def show(self) -> Run:
        shown = [one.request for one in self.requests.values()]
        return build_run_view(self.run, shown, list(self.audit))

    def after(self, change: Change, now: datetime) -> "KeptRun":
        """Return it as it is once the change is written. Counters and version are the writer's."""
        found = {**self.requests}
        for asked in change.asked:
            found[asked.request.requestId] = KeptRequest(asked.request, asked.agentFingerprint)
        for settlement in change.settled:
            request = settlement.request.but(updatedAt=now)
            found[request.requestId] = found[request.requestId]._replace(
                request=request, settled=settlement.settled, resolved=(settlement.by, now)
            )
        for response in change.responses:
            one = found[response.requestId]
            given = (*one.request.responses, response)
            found[response.requestId] = one._replace(request=one.request.but(responses=given))
        for delivered in change.delivered:
            one = found[delivered.requestId]
            if one.request.deliveredAt is None:
                request = one.request.but(deliveredAt=now, updatedAt=now)
                found[delivered.requestId] = one._replace(request=request)
        for name, fingerprint in change.fitted.items():
            found[name] = found[name]._replace(fingerprint=fingerprint)
        return self._replace(run=change.run.but(updatedAt=now), requests=found)


def begin(run: StoredRun) -> KeptRun:
    """Return a run that is not written yet."""
    return KeptRun(run, Counters(), "", {})


async def read(conn: Connection, ref: RunRef, believed: datetime | None = None) -> Moment:
    """Return the run as it is now. Raise NotFound, or Invalid when run and thread disagree.

    `believed`: as in claims.py.
    """
    by_run = ref.run_id is not None
    query, value = (READ, ref.run_id) if by_run else (READ_OF_THREAD, ref.thread_id)
    row = await (await conn.execute(query, (value,))).fetchone()
    if row is None:
        raise NotFound(f"There is no run {'' if by_run else 'of thread '}{value}.")
    return Moment(build(row, believed), row["now"]).of(ref)


async def read_time(conn: Connection) -> datetime:
    """Return the database's time. In a transaction it is the same throughout."""
    row = await (await conn.execute("SELECT now() AS now")).fetchone()
    if row is None:
        raise StoreUnavailable("The database gave no answer.")
    return row["now"]


async def read_locked(conn: Connection, ref: RunRef, believed: datetime | None = None) -> Moment:
    """Return the run; nobody else changes it until the transaction ends. Raise as `read` does."""
    if ref.run_id is None:
        ref = RunRef(await runs.find_of_thread(conn, ref.thread_id), ref.thread_id)
    await conn.execute(LOCK, (ref.run_id,))
    # a statement of its own: it sees what was committed while the lock was waited for
    return await read(conn, ref, believed)


def build(row: DictRow, believed: datetime | None = None) -> KeptRun:
    """Return it from a row of SELECT."""
    kept = (_build_request(one) for one in row["requests"] or ())
    return KeptRun(
        runs.of_row(row, believed),
        runs.counters_of(row),
        row["version"],
        {one.request.requestId: one for one in kept},
        read_audit(row["audit"] or ()),
    )


def read_audit(bodies: Iterable[str]) -> tuple[AuditEntry, ...]:
    return tuple(AuditEntry.read(json.loads(body)) for body in bodies)


def _build_request(row: DictRow) -> KeptRequest:
    """Read a request from a row that came as JSON: its times are texts."""
    if row["resolved_at"] is not None:
        row["resolved_at"] = datetime.fromisoformat(row["resolved_at"])
    return KeptRequest(
        requests.of_row(row),
        row["agent_fingerprint"],
        requests.settled_of(row),
        requests.resolved_of(row),
    )
