"""The table `orchestrator_runs`."""

from collections.abc import Collection
from datetime import datetime
from typing import Any, LiteralString, NamedTuple

from psycopg.rows import DictRow
from psycopg.types.json import Json

from hitl_orchestrator.checkpoints.pool import Connection
from hitl_orchestrator.domain.errors import Invalid, NotFound, ThreadBusy
from hitl_orchestrator.domain.ports import RunRef
from hitl_orchestrator.domain.run import StoredRun

# By name: what a newer program adds to the table meanwhile must not change what a prepared
# statement returns, which Postgres refuses (0A000).
SELECT = """SELECT r.run_id, r.thread_id, r.settings, r.metadata, r.status, r.plan, r.facets,
    r.result, r.error, r.held, r.needs, r.retrying, r.created_at, r.updated_at,
    r.claim_token, r.working_until, r.pending_urgency, r.pending_since,
    r.request_count, r.event_count, r.audit_count, r.audit_head, r.last_update_id, now() AS now
    FROM orchestrator_runs r """
READ = SELECT + "WHERE r.run_id = %s"
LOCK = READ + " FOR UPDATE"
OF_THREAD = """SELECT run_id FROM orchestrator_runs WHERE thread_id = %s
    ORDER BY status IN ('queued', 'running', 'awaiting_hitl') DESC, created_at DESC, run_id DESC
    LIMIT 1"""
# The thread is held beside others who start, not beside a prune of it (retention.py): a run does
# not begin from checkpoints that are being deleted.
INSERT = """WITH held AS MATERIALIZED
    (SELECT pg_advisory_xact_lock_shared(hashtextextended(%(thread_id)s, 4718)))
    INSERT INTO orchestrator_runs
    (run_id, thread_id, status, settings, metadata, facets, created_at, updated_at)
    SELECT %(run_id)s, %(thread_id)s, %(status)s, %(settings)s, %(metadata)s, %(facets)s,
        %(created_at)s, %(created_at)s FROM held ON CONFLICT DO NOTHING"""
# What a process that died was still at: the thread is free again.
FREE_THREAD = """UPDATE orchestrator_runs SET working_by = NULL, working_until = NULL
    WHERE thread_id = %s AND working_until <= least(now(), %s::timestamptz)"""
WHO_IS_BUSY = """SELECT run_id, status FROM orchestrator_runs
    WHERE thread_id = %s AND status NOT IN ('queued', 'running', 'awaiting_hitl')
    AND working_until IS NOT NULL"""
UPDATE = """UPDATE orchestrator_runs SET status = %(status)s, plan = %(plan)s,
    facets = %(facets)s, result = %(result)s, error = %(error)s, updated_at = now(),
    held = %(held)s, needs = %(needs)s,
    request_count = %(request_count)s, event_count = %(event_count)s,
    audit_count = %(audit_count)s, audit_head = %(audit_head)s, last_update_id = %(last_update_id)s,
    claim_token = %(claim_token)s, retrying = %(retrying)s,
    attempts = CASE WHEN %(claim_token)s::text IS NULL THEN 0
        WHEN %(got_further)s THEN 1 ELSE attempts END,
    claimed_by = CASE WHEN %(claim_token)s::text IS NULL THEN NULL ELSE claimed_by END,
    working_by = CASE WHEN NOT %(still_working)s THEN NULL
        WHEN working_until > now() THEN working_by ELSE claimed_by END,
    working_until = CASE WHEN NOT %(still_working)s THEN NULL
        WHEN working_until > now() THEN working_until ELSE claimed_until END
    WHERE run_id = %(run_id)s"""
MARK_PENDING = """UPDATE orchestrator_runs SET (pending_urgency, pending_since) = (
        SELECT max(CASE urgency WHEN 'high' THEN 2 WHEN 'normal' THEN 1 ELSE 0 END), min(created_at)
        FROM hitl_requests WHERE hitl_requests.run_id = orchestrator_runs.run_id
        AND hitl_requests.status = 'pending')
    WHERE run_id = %s"""


_AS_THEY_ARE = (
    "settings", "metadata", "status", "plan", "facets", "result", "error", "held", "needs",
    "retrying",
)  # fmt: skip


class Counters(NamedTuple):
    """What the row counts, so that numbers within a run have no gaps."""

    requests: int = 0
    events: int = 0
    audit: int = 0
    audit_head: str = ""
    last_update_id: str | None = None


class Row(NamedTuple):
    run: StoredRun
    counters: Counters
    now: datetime


async def lock(conn: Connection, ref: RunRef, believed: datetime | None = None) -> Row:
    """Return the row; nobody else changes it until the transaction ends.

    `believed`: as in claims.py.
    """
    return await _row(conn, ref, LOCK, believed)


async def find(conn: Connection, ref: RunRef, believed: datetime | None = None) -> Row:
    return await _row(conn, ref, READ, believed)


async def _row(
    conn: Connection, ref: RunRef, query: LiteralString, believed: datetime | None
) -> Row:
    """Raise NotFound, or Invalid when run and thread disagree."""
    run_id = ref.run_id or await _of_thread(conn, ref.thread_id)
    row = await (await conn.execute(query, (run_id,))).fetchone()
    if row is None:
        raise NotFound(f"There is no run {run_id}.")
    if ref.thread_id is not None and row["thread_id"] != ref.thread_id:
        raise Invalid(f"Run {run_id} is not of thread {ref.thread_id}.")
    counters = Counters(
        row["request_count"],
        row["event_count"],
        row["audit_count"],
        row["audit_head"],
        row["last_update_id"],
    )
    return Row(of_row(row, believed), counters, row["now"])


async def _of_thread(conn: Connection, thread_id: str | None) -> str:
    row = await (await conn.execute(OF_THREAD, (thread_id,))).fetchone()
    if row is None:
        raise NotFound(f"There is no run of thread {thread_id}.")
    return row["run_id"]


async def insert(conn: Connection, run: StoredRun, believed: datetime | None = None) -> None:
    """Raise ThreadBusy: another run of the thread has not ended, or its work has not."""
    if await _insert(conn, run):
        return
    await free_thread(conn, run.threadId, believed)
    if not await _insert(conn, run):
        raise ThreadBusy(await explain_busy(conn, run.threadId))


async def free_thread(conn: Connection, thread_id: str, believed: datetime | None) -> None:
    """Forget work of processes that have died."""
    await conn.execute(FREE_THREAD, (thread_id, believed))


async def explain_busy(conn: Connection, thread_id: str) -> str:
    row = await (await conn.execute(WHO_IS_BUSY, (thread_id,))).fetchone()
    if row is None:
        return f"Thread {thread_id} has a run that has not ended."
    return (
        f"Thread {thread_id} has run {row['run_id']}, which is {row['status']}"
        " but still working: its work cannot be stopped, and has not ended yet."
    )


async def _insert(conn: Connection, run: StoredRun) -> bool:
    values = {
        "run_id": run.runId,
        "thread_id": run.threadId,
        "status": run.status,
        "settings": Json(run.settings.json_object()),
        "metadata": Json(run.metadata),
        "facets": _facets(run),
        "created_at": run.createdAt,
    }
    return (await conn.execute(INSERT, values)).rowcount == 1


async def update(
    conn: Connection,
    run: StoredRun,
    counters: Counters,
    needs: Collection[str],
    *,
    got_further: bool,
) -> None:
    """Write the row, in a pipeline or not. The caller holds its lock.

    `got_further`: its attempts are counted anew, from the one that is under way.
    """
    values = {
        "run_id": run.runId,
        "status": run.status,
        "plan": run.plan and Json(run.plan.json_object()),
        "facets": _facets(run),
        "result": run.result and Json(run.result.json_object()),
        "error": run.error and Json(run.error.json_object()),
        "held": run.held and Json(run.held.json_object()),
        "needs": sorted(needs),
        "request_count": counters.requests,
        "event_count": counters.events,
        "audit_count": counters.audit,
        "audit_head": counters.audit_head,
        "last_update_id": counters.last_update_id,
        "claim_token": run.claimToken,
        "retrying": run.retrying,
        "still_working": run.stillWorking,
        "got_further": got_further,
    }
    await conn.execute(UPDATE, values)


def of_row(row: DictRow, believed: datetime | None = None) -> StoredRun:
    """Read a row of the table, with the database's time as `now`. `believed`: as in claims.py."""
    now = min(row["now"], believed or row["now"])
    fields: dict[str, Any] = {name: row[name] for name in _AS_THEY_ARE}
    times = {"createdAt": row["created_at"], "updatedAt": row["updated_at"]}
    fields["claimToken"] = row["claim_token"]
    fields["stillWorking"] = row["working_until"] is not None and row["working_until"] > now
    return StoredRun.read({**fields, **times})


def _facets(run: StoredRun) -> Json:
    return Json({name: facet.json_object() for name, facet in run.facets.items()})
