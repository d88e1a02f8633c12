"""Who drives which run: claims, their heartbeat, and what nobody drives."""

from datetime import timedelta

from hitl_orchestrator.checkpoints.pool import Connection
from hitl_orchestrator.domain.ports import Claim

TAKE = """UPDATE orchestrator_runs SET claim_token = %s, claimed_by = %s, claimed_until = now() + %s
    WHERE run_id = %s AND status IN ('queued', 'running')
    AND (claim_token IS NULL OR claimed_until < now()) RETURNING claim_token"""
TAKE_LAPSED = """UPDATE orchestrator_runs
    SET claim_token = gen_random_uuid()::text, claimed_by = %s, claimed_until = now() + %s
    WHERE run_id IN (SELECT run_id FROM orchestrator_runs WHERE status IN ('queued', 'running')
        AND (claim_token IS NULL OR claimed_until < now())
        ORDER BY claimed_until NULLS FIRST LIMIT %s FOR UPDATE SKIP LOCKED)
    RETURNING run_id, claim_token"""
# Given back, or left alone for so long that its job must be lost; not those that wait in the queue
# again already.
LAPSED = """SELECT run_id, thread_id FROM orchestrator_runs r WHERE status IN ('queued', 'running')
    AND (claim_token IS NULL OR claimed_until < now())
    AND (claimed_until = 'epoch' OR updated_at < now() - %s)
    AND NOT EXISTS (SELECT FROM procrastinate_jobs j
        WHERE j.queueing_lock = r.run_id AND j.status = 'todo') LIMIT %s"""
HEARTBEAT = """UPDATE orchestrator_runs SET claimed_until = now() + %s
    WHERE claimed_by = %s AND status IN ('queued', 'running')
    RETURNING claim_token"""
RELEASE = """UPDATE orchestrator_runs
    SET claim_token = NULL, claimed_by = NULL, claimed_until = 'epoch'
    WHERE run_id = %s AND claim_token = %s"""


async def take(conn: Connection, claim: Claim, driver: str, lease: timedelta) -> bool:
    """Claim one run, if nobody drives it."""
    return (
        await (await conn.execute(TAKE, (claim.token, driver, lease, claim.run_id))).fetchone()
        is not None
    )


async def take_lapsed(conn: Connection, driver: str, lease: timedelta, limit: int) -> list[Claim]:
    """Claim runs that should run and that nobody drives."""
    rows = await (await conn.execute(TAKE_LAPSED, (driver, lease, limit))).fetchall()
    return [Claim(row["run_id"], row["claim_token"]) for row in rows]


async def lapsed(conn: Connection, left_alone: timedelta, limit: int) -> list[tuple[str, str]]:
    """Return (run, thread) of runs that should run and that nobody drives.

    They were given back, or left alone for that long.
    """
    return [
        (r["run_id"], r["thread_id"])
        for r in await (await conn.execute(LAPSED, (left_alone, limit))).fetchall()
    ]


async def beat(conn: Connection, driver: str, lease: timedelta) -> set[str]:
    """Keep all of a process' claims by one statement. Return the tokens it still holds."""
    return {
        row["claim_token"]
        for row in await (await conn.execute(HEARTBEAT, (lease, driver))).fetchall()
    }


async def release(conn: Connection, claim: Claim) -> None:
    await conn.execute(RELEASE, (claim.run_id, claim.token))
