"""Forgetting: ended runs with their checkpoints, questions and frames.

A paused run is never touched.
"""

from datetime import timedelta

from hitl_orchestrator.checkpoints.pool import Connection, Pool, connection

BATCH = 200

ENDED = """SELECT run_id, thread_id,
    coalesce(jsonb_path_query_array(plan::jsonb, '$.steps[*].stepId'), '[]') AS steps
    FROM orchestrator_runs
    WHERE status IN ('completed', 'failed', 'cancelled') AND updated_at < now() - %s
    ORDER BY updated_at LIMIT %s FOR UPDATE SKIP LOCKED"""
BURY = """INSERT INTO audit_tombstones (run_id, entries, head)
    SELECT run_id, audit_count, audit_head FROM orchestrator_runs WHERE run_id = ANY(%s)"""
DELETE_AUDIT = "DELETE FROM audit_entries WHERE run_id = ANY(%s)"
DELETE_RUNS = "DELETE FROM orchestrator_runs WHERE run_id = ANY(%s)"
# A thread's checkpoints serve all of its runs: they go with the last one. In one statement:
# checkpoints of a run that starts meanwhile are never visible without its row.
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
    async with conn.transaction():
        rows = await (await conn.execute(ENDED, (older_than, BATCH))).fetchall()
        ids = [row["run_id"] for row in rows]
        for statement in (BURY, DELETE_AUDIT, DELETE_RUNS):
            await conn.execute(statement, (ids,))
        children = [
            f"{row['thread_id']}:{row['run_id']}:{step}" for row in rows for step in row["steps"]
        ]
        for statement in DELETE_CHECKPOINTS:
            await conn.execute(statement, ([*(row["thread_id"] for row in rows), *children],))
    return len(ids)
