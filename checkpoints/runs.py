"""The table `orchestrator_runs`."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from psycopg.rows import DictRow

from hitl_orchestrator.checkpoints.pool import Connection
from hitl_orchestrator.domain.errors import NotFound
from hitl_orchestrator.domain.json_values import write_json
from hitl_orchestrator.domain.run import StoredRun

# By name: what a newer program adds to the table meanwhile must not change what a prepared
# statement returns, which Postgres refuses (0A000).
COLUMNS = """SELECT r.run_id, r.thread_id, r.settings, r.metadata, r.status, r.plan, r.facets,
    r.result, r.error, r.held, r.needs, r.retrying, r.created_at, r.updated_at,
    r.claim_token, r.working_until, r.pending_urgency, r.pending_since,
    r.request_count, r.event_count, r.audit_count, r.audit_head, r.last_update_id, now() AS now"""
SELECT = COLUMNS + " FROM orchestrator_runs r "
OF_THREAD = """SELECT run_id FROM orchestrator_runs WHERE thread_id = %s
    ORDER BY status IN ('queued', 'running', 'awaiting_hitl') DESC, created_at DESC, run_id DESC
    LIMIT 1"""
# What a process that died was still at: the thread is free again.
FREE_THREAD = """UPDATE orchestrator_runs SET working_by = NULL, working_until = NULL
    WHERE thread_id = %s AND working_until <= least(now(), %s::timestamptz)"""
WHO_IS_BUSY = """SELECT run_id, status FROM orchestrator_runs
    WHERE thread_id = %s AND status NOT IN ('queued', 'running', 'awaiting_hitl')
    AND working_until IS NOT NULL"""


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


async def find_of_thread(conn: Connection, thread_id: str | None) -> str:
    """Return the id of the run that has not ended, else of the newest. Raise NotFound."""
    row = await (await conn.execute(OF_THREAD, (thread_id,))).fetchone()
    if row is None:
        raise NotFound(f"There is no run of thread {thread_id}.")
    return row["run_id"]


async def free_thread(conn: Connection, thread_id: str, believed: datetime | None) -> None:
    """Forget work of processes that have died. `believed`: as in claims.py."""
    await conn.execute(FREE_THREAD, (thread_id, believed))


async def explain_busy(conn: Connection, thread_id: str) -> str:
    row = await (await conn.execute(WHO_IS_BUSY, (thread_id,))).fetchone()
    if row is None:
        return f"Thread {thread_id} has a run that has not ended."
    return (
        f"Thread {thread_id} has run {row['run_id']}, which is {row['status']}"
        " but still working: its work cannot be stopped, and has not ended yet."
    )


def write_fields(
    run: StoredRun, counters: Counters, needs: Sequence[str]
) -> dict[str, str | bool | int | None]:
    """Return what changes of the row, as the parameters of statements.UPDATE."""
    return {
        "run_id": run.runId,
        "status": run.status.value,
        "plan": run.plan and write_json(run.plan),
        "facets": write_json(run.facets),
        "result": run.result and write_json(run.result),
        "error": run.error and write_json(run.error),
        "held": run.held and write_json(run.held),
        "needs": write_json([*needs]),
        "request_count": counters.requests,
        "event_count": counters.events,
        "audit_count": counters.audit,
        "audit_head": counters.audit_head,
        "last_update_id": counters.last_update_id,
        "claim_token": run.claimToken,
        "retrying": run.retrying,
        "still_working": run.stillWorking,
    }


def write_new(run: StoredRun) -> dict[str, Any]:
    """Return what never changes, as the parameters of statements.INSERT."""
    return {
        "settings": write_json(run.settings),
        "metadata": write_json(run.metadata),
        "created_at": run.createdAt,
    }


def counters_of(row: DictRow) -> Counters:
    return Counters(
        row["request_count"],
        row["event_count"],
        row["audit_count"],
        row["audit_head"],
        row["last_update_id"],
    )


def of_row(row: DictRow, believed: datetime | None = None) -> StoredRun:
    """Read a row of the table, with the database's time as `now`. `believed`: as in claims.py."""
    now = min(row["now"], believed or row["now"])
    fields: dict[str, Any] = {name: row[name] for name in _AS_THEY_ARE}
    times = {"createdAt": row["created_at"], "updatedAt": row["updated_at"]}
    fields["claimToken"] = row["claim_token"]
    fields["stillWorking"] = row["working_until"] is not None and row["working_until"] > now
    return StoredRun.read({**fields, **times})
