"""The table `hitl_groups`: questions that a limit counts together."""

from hitl_orchestrator.checkpoints.session import Connection

_HOLD = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 4719))"
# What a guard refused took no question; what is not asked yet may.
_COUNT = """SELECT count(*) AS number FROM hitl_groups g WHERE g.name = %s AND NOT EXISTS
    (SELECT FROM hitl_requests r WHERE r.run_id = g.run_id
        AND r.status = 'denied' AND r.settled IS NULL)"""
_JOIN = "INSERT INTO hitl_groups (name, run_id) VALUES (%s, %s)"


async def count_asked(conn: Connection, name: str) -> int:
    """Return how many were put to people. Nobody else joins until the transaction ends."""
    await conn.execute(_HOLD, (name,))
    row = await (await conn.execute(_COUNT, (name,))).fetchone()
    return row["number"] if row else 0


async def join(conn: Connection, name: str, run_id: str) -> None:
    await conn.execute(_JOIN, (name, run_id))
