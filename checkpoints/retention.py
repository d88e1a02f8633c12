"""Forgetting: ended runs with all they have, or only what their agents wrote on the way.

A paused run is never touched.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import LiteralString

from psycopg.rows import DictRow

from hitl_orchestrator.checkpoints.pool import Connection, Pool, connection
from hitl_orchestrator.domain.threads import name_agent_thread, name_old_agent_thread

BATCH = 200
EARLIEST = datetime.min.replace(tzinfo=UTC)

Batch = Sequence[DictRow]  # the runs
DoBatch = Callable[[Connection, timedelta, datetime], Awaitable[Batch]]

# `since`: a batch begins where the one before it ended. What that one left behind in the index
# stays there as long as somebody's snapshot is older: each batch would go through all of it.
# What a webhook was not told of yet stays; a listener tells of what waits alone.
ENDED = """SELECT run_id, thread_id, updated_at,
    coalesce(jsonb_path_query_array(plan::jsonb, '$.steps[*].stepId'), '[]') AS steps
    FROM orchestrator_runs
    WHERE status IN ('completed', 'failed', 'cancelled')
    AND updated_at >= %(since)s AND updated_at < now() - %(older_than)s::interval
    AND (working_until IS NULL OR working_until <= now())
    AND NOT EXISTS (SELECT FROM webhook_endpoints w JOIN run_events e
        ON e.run_id = orchestrator_runs.run_id AND e.queue
        AND (w.run_id IS NULL OR w.run_id = e.run_id)
        WHERE w.disabled_at IS NULL AND NOT w.is_listener
        AND (e.queue_seq IS NULL OR e.queue_seq > w.cursor))
    ORDER BY updated_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED"""
# Not of failed runs: they can be retried.
WITH_HISTORY = """SELECT run_id, thread_id, updated_at,
    coalesce(jsonb_path_query_array(plan::jsonb, '$.steps[*].stepId'), '[]') AS steps
    FROM orchestrator_runs
    WHERE status IN ('completed', 'cancelled') AND NOT history_dropped
    AND updated_at >= %(since)s AND updated_at < now() - %(older_than)s::interval
    AND (working_until IS NULL OR working_until <= now())
    ORDER BY updated_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED"""
NOTE_DROPPED = "UPDATE orchestrator_runs SET history_dropped = true WHERE run_id = ANY(%s)"
# What agents elsewhere were handed, and reported.
DELETE_ASSIGNMENTS = "DELETE FROM hitl_assignments WHERE run_id = ANY(%s)"
# Whoever starts a run holds its thread too (runs.py). What is held is left for the next time: to
# wait could be a deadlock, since a start may wait for one of the rows above.
HOLD_THREADS = """SELECT thread_id FROM unnest(%s::text[]) AS t (thread_id)
    WHERE pg_try_advisory_xact_lock(hashtextextended(thread_id, 4718))"""
BURY = """INSERT INTO audit_tombstones (run_id, entries, head)
    SELECT run_id, audit_count, audit_head FROM orchestrator_runs WHERE run_id = ANY(%s)"""
DELETE_AUDIT = "DELETE FROM audit_entries WHERE run_id = ANY(%s)"
DELETE_RUNS = "DELETE FROM orchestrator_runs WHERE run_id = ANY(%s)"
# A thread's checkpoints serve all of its runs: they go with the last one.
DELETE_CHECKPOINTS = (
    """DELETE FROM checkpoints c WHERE thread_id = ANY(%s)
        AND NOT EXISTS (SELECT FROM orchestrator_runs r WHERE r.thread_id = c.thread_id)""",
    """DELETE FROM checkpoint_blobs c WHERE thread_id = ANY(%s)
        AND NOT EXISTS (SELECT FROM orchestrator_runs r WHERE r.thread_id = c.thread_id)""",
    """DELETE FROM checkpoint_writes c WHERE thread_id = ANY(%s)
        AND NOT EXISTS (SELECT FROM orchestrator_runs r WHERE r.thread_id = c.thread_id)""",
)


async def prune(pool: Pool, older_than: timedelta) -> int:
    """Delete what ended longer ago, and return how many runs those were."""
    return await _do_in_batches(_prune_batch, pool, older_than)


async def drop_history(pool: Pool, older_than: timedelta) -> int:
    """Drop agents' threads of runs that ended longer ago; return of how many. No page needs them.

    A run's own thread stays, for its next runs, and so does that of a failed one's agents.
    """
    return await _do_in_batches(_drop_batch, pool, older_than)


async def _do_in_batches(do: DoBatch, pool: Pool, older_than: timedelta) -> int:
    """Return how many it was done to in all. No transaction is long."""
    done, since = 0, EARLIEST
    async with connection(pool) as conn:
        while batch := await do(conn, older_than, since):
            done, since = done + len(batch), batch[-1]["updated_at"]
    return done


async def _prune_batch(conn: Connection, older_than: timedelta, since: datetime) -> Batch:
    async with conn.transaction():
        ended = await _take_batch(conn, ENDED, older_than, since)
        held = await _hold_threads(conn, {row["thread_id"] for row in ended})
        rows = [row for row in ended if row["thread_id"] in held]
        ids = [row["run_id"] for row in rows]
        for statement in (BURY, DELETE_AUDIT, DELETE_RUNS):
            await conn.execute(statement, (ids,))
        await _delete_checkpoints(conn, [*held, *_list_agent_threads(rows)])
    return rows


async def _drop_batch(conn: Connection, older_than: timedelta, since: datetime) -> Batch:
    async with conn.transaction():
        rows = await _take_batch(conn, WITH_HISTORY, older_than, since)
        if rows:
            await _delete_checkpoints(conn, _list_agent_threads(rows))
            ids = [row["run_id"] for row in rows]
            for statement in (DELETE_ASSIGNMENTS, NOTE_DROPPED):
                await conn.execute(statement, (ids,))
    return rows


async def _take_batch(
    conn: Connection, statement: LiteralString, older_than: timedelta, since: datetime
) -> Batch:
    wanted = {"older_than": older_than, "since": since, "limit": BATCH}
    return await (await conn.execute(statement, wanted)).fetchall()


async def _delete_checkpoints(conn: Connection, threads: Sequence[str]) -> None:
    for statement in DELETE_CHECKPOINTS:
        await conn.execute(statement, (threads,))


async def _hold_threads(conn: Connection, threads: Collection[str]) -> set[str]:
    """Hold those that nobody holds, until the transaction ends: no run of them starts meanwhile.

    Nor does another prune, which would see the runs deleted here, and keep the checkpoints.
    """
    rows = await conn.execute(HOLD_THREADS, ([*threads],))
    return {row["thread_id"] for row in await rows.fetchall()}


def _list_agent_threads(runs: Batch) -> list[str]:
    threads: list[str] = []
    for run in runs:
        for step in run["steps"]:
            of_step = run["thread_id"], run["run_id"], step
            threads += name_agent_thread(*of_step), name_old_agent_thread(*of_step)
    return threads
