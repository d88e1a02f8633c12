"""The table `idempotency_keys`: what a call with an Idempotency-Key came to, for 24 hours."""

from psycopg.types.json import Json

from hitl_orchestrator.checkpoints.pool import Connection
from hitl_orchestrator.domain.errors import IdempotencyKeyReused
from hitl_orchestrator.domain.ports import Once
from hitl_orchestrator.domain.records import JsonObject

# The second call with a key waits here until the first has committed or is gone.
WAIT = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 4717))"
FIND = """SELECT body_hash, outcome FROM idempotency_keys
    WHERE route = %s AND key = %s AND created_at > now() - interval '24 hours'"""
KEEP = """INSERT INTO idempotency_keys (route, key, body_hash, outcome) VALUES (%s, %s, %s, %s)
    ON CONFLICT (route, key) DO UPDATE
    SET body_hash = excluded.body_hash, outcome = excluded.outcome,
    created_at = CASE WHEN idempotency_keys.created_at > now() - interval '24 hours'
        THEN idempotency_keys.created_at ELSE now() END"""
FORGET = "DELETE FROM idempotency_keys WHERE created_at < now() - interval '24 hours'"


async def find(conn: Connection, once: Once) -> JsonObject | None:
    """Return what the first call came to. Raise IdempotencyKeyReused if it had another body."""
    await conn.execute(WAIT, (f"{once.route} {once.key}",))
    row = await (await conn.execute(FIND, (once.route, once.key))).fetchone()
    if row is None:
        return None
    if row["body_hash"] != once.body_hash:
        raise IdempotencyKeyReused("This Idempotency-Key was used with another body.")
    return row["outcome"]


async def keep(conn: Connection, once: Once, outcome: JsonObject) -> None:
    await conn.execute(KEEP, (once.route, once.key, once.body_hash, Json(outcome)))


async def forget(conn: Connection) -> None:
    await conn.execute(FORGET)
