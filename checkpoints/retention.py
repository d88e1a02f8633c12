"""Forgetting: ended runs with their checkpoints, questions and frames.

A paused run is never touched.
"""

from collections.abc import Collection, Sequence
from datetime import timedelta

from psycopg.rows import DictRow

from hitl_orchestrator.checkpoints.pool import Connection, Pool, connection
from hitl_orchestrator.domain.threads import name_agent_thread, name_old_agent_thread

BATCH = 200

ENDED = """SELECT run_id, thread_id,
    coalesce(jsonb_path_query_array(plan::jsonb, '$.steps[*].stepId'), '[]') AS steps
    FROM orchestrator_runs
    WHERE status IN ('completed', 'failed', 'cancelled')
    AND updated_at < now() - %(older_than)s::interval
    AND (working_until IS NULL OR working_until <= now())
    ORDER BY updated_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED"""
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
    """Return how many runs were deleted, in batches: no transaction is long."""
    pruned = 0
    async with connection(pool) as conn:
        while batch := await _prune_batch(conn, older_than):
            pruned += batch
    return pruned


async def _prune_batch(conn: Connection, older_than: timedelta) -> int:
    wanted = {"older_than": older_than, "limit": BATCH}
    async with conn.transaction():
        ended = await (await conn.execute(ENDED, wanted)).fetchall()
        held = await _hold_threads(conn, {row["thread_id"] for row in ended})
        rows = [row for row in ended if row["thread_id"] in held]
        ids = [row["run_id"] for row in rows]
        for statement in (BURY, DELETE_AUDIT, DELETE_RUNS):
            await conn.execute(statement, (ids,))
        threads = _list_threads(rows)
        for statement in DELETE_CHECKPOINTS:
            await conn.execute(statement, (threads,))
    return len(ids)


async def _hold_threads(conn: Connection, threads: Collection[str]) -> set[str]:
    """Hold those that nobody holds, until the transaction ends: no run of them starts meanwhile.

    Nor does another prune, which would see the runs deleted here, and keep the checkpoints.
    """
    rows = await conn.execute(HOLD_THREADS, ([*threads],))
    return {row["thread_id"] for row in await rows.fetchall()}


def _list_threads(rows: Sequence[DictRow]) -> list[str]:
    """Return the runs' own threads and those of their agents."""
    threads: list[str] = []
    for row in rows:
        threads.append(row["thread_id"])
        for step in row["steps"]:
            of_step = row["thread_id"], row["run_id"], step
            threads += name_agent_thread(*of_step), name_old_agent_thread(*of_step)
    return threads
