"""The table `idempotency_keys`: what a call with an Idempotency-Key was answered, for 24 hours."""

from typing import NamedTuple

from psycopg.types.json import Json

from hitl_orchestrator.checkpoints.pool import Connection
from hitl_orchestrator.domain.errors import IdempotencyKeyReused
from hitl_orchestrator.domain.records import JsonObject

# The second call with a key waits here until the first has committed or is gone.
WAIT = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 4717))"
KEPT = """SELECT body_hash, status, response FROM idempotency_keys
    WHERE route = %s AND key = %s AND created_at > now() - interval '24 hours'"""
KEEP = """INSERT INTO idempotency_keys (route, key, body_hash, status, response) VALUES (%s, %s, %s, %s, %s)
    ON CONFLICT (route, key) DO UPDATE SET body_hash = excluded.body_hash, status = excluded.status, response = excluded.response,
    created_at = CASE WHEN idempotency_keys.created_at > now() - interval '24 hours' THEN idempotency_keys.created_at ELSE now() END"""
FORGET = "DELETE FROM idempotency_keys WHERE created_at < now() - interval '24 hours'"


class Once(NamedTuple):
    """A call that must not be done twice."""

    route: str
    key: str
    body_hash: str


class Reply(NamedTuple):
    status: int
    body: JsonObject


async def kept(conn: Connection, once: Once) -> Reply | None:
    """What the first call was answered. Raises IdempotencyKeyReused when that had another body."""
    await conn.execute(WAIT, (f"{once.route} {once.key}",))
    row = await (await conn.execute(KEPT, (once.route, once.key))).fetchone()
    if row is None:
        return None
    if row["body_hash"] != once.body_hash:
        raise IdempotencyKeyReused("This Idempotency-Key was used with another body.")
    return Reply(row["status"], row["response"])


async def keep(conn: Connection, once: Once, reply: Reply) -> None:
    await conn.execute(KEEP, (once.route, once.key, once.body_hash, reply.status, Json(reply.body)))


async def forget(conn: Connection) -> None:
    await conn.execute(FORGET)
