"""The table `orchestrator_runs`."""

from datetime import datetime
from typing import Any, LiteralString, NamedTuple

from psycopg.errors import UniqueViolation
from psycopg.rows import DictRow
from psycopg.types.json import Json

from hitl_orchestrator.checkpoints.pool import Connection
from hitl_orchestrator.domain.errors import Invalid, NotFound, ThreadBusy
from hitl_orchestrator.domain.ports import RunRef
from hitl_orchestrator.domain.run import StoredRun

READ = "SELECT *, now() AS now FROM orchestrator_runs WHERE run_id = %s"
LOCK = READ + " FOR UPDATE"
OF_THREAD = """SELECT run_id FROM orchestrator_runs WHERE thread_id = %s
    ORDER BY status IN ('queued', 'running', 'awaiting_hitl') DESC, created_at DESC, run_id DESC
    LIMIT 1"""
INSERT = """INSERT INTO orchestrator_runs
    (run_id, thread_id, status, settings, metadata, facets, created_at, updated_at)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s)"""
UPDATE = """UPDATE orchestrator_runs SET status = %(status)s, plan = %(plan)s,
    facets = %(facets)s, result = %(result)s, error = %(error)s, updated_at = now(),
    request_count = %(request_count)s, event_count = %(event_count)s,
    audit_count = %(audit_count)s, audit_head = %(audit_head)s, last_update_id = %(last_update_id)s,
    claim_token = %(claim_token)s, retrying = %(retrying)s,
    claimed_by = CASE WHEN %(claim_token)s::text IS NULL THEN NULL ELSE claimed_by END
    WHERE run_id = %(run_id)s"""
MARK_PENDING = """UPDATE orchestrator_runs SET (pending_urgency, pending_since) = (
        SELECT max(CASE urgency WHEN 'high' THEN 2 WHEN 'normal' THEN 1 ELSE 0 END), min(created_at)
        FROM hitl_requests WHERE hitl_requests.run_id = orchestrator_runs.run_id
        AND hitl_requests.status = 'pending')
    WHERE run_id = %s"""


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


async def lock(conn: Connection, ref: RunRef) -> Row:
    """Return the row; nobody else changes it until the transaction ends."""
    return await _row(conn, ref, LOCK)


async def find(conn: Connection, ref: RunRef) -> Row:
    return await _row(conn, ref, READ)


async def _row(conn: Connection, ref: RunRef, query: LiteralString) -> Row:
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
    return Row(of_row(row), counters, row["now"])


async def _of_thread(conn: Connection, thread_id: str | None) -> str:
    row = await (await conn.execute(OF_THREAD, (thread_id,))).fetchone()
    if row is None:
        raise NotFound(f"There is no run of thread {thread_id}.")
    return row["run_id"]


async def insert(conn: Connection, run: StoredRun) -> None:
    settings, metadata = Json(run.settings.json_object()), Json(run.metadata)
    values = (
        run.runId,
        run.threadId,
        run.status,
        settings,
        metadata,
        _facets(run),
        run.createdAt,
        run.createdAt,
    )
    try:
        await conn.execute(INSERT, values)
    except UniqueViolation as error:
        raise ThreadBusy(f"Thread {run.threadId} has a run that has not ended.") from error


async def update(conn: Connection, run: StoredRun, counters: Counters) -> None:
    """Write the row, in a pipeline or not. The caller holds its lock."""
    values = {
        "run_id": run.runId,
        "status": run.status,
        "plan": run.plan and Json(run.plan.json_object()),
        "facets": _facets(run),
        "result": run.result and Json(run.result.json_object()),
        "error": run.error and Json(run.error.json_object()),
        "request_count": counters.requests,
        "event_count": counters.events,
        "audit_count": counters.audit,
        "audit_head": counters.audit_head,
        "last_update_id": counters.last_update_id,
        "claim_token": run.claimToken,
        "retrying": run.retrying,
    }
    await conn.execute(UPDATE, values)


def of_row(row: DictRow) -> StoredRun:
    fields: dict[str, Any] = {
        name: row[name]
        for name in (
            "settings",
            "metadata",
            "status",
            "plan",
            "facets",
            "result",
            "error",
            "retrying",
        )
    }
    times = {"createdAt": row["created_at"], "updatedAt": row["updated_at"]}
    return StoredRun.model_validate({**fields, **times, "claimToken": row["claim_token"]})


def _facets(run: StoredRun) -> Json:
    return Json({name: facet.json_object() for name, facet in run.facets.items()})
