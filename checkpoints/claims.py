"""Who drives which run: claims, their heartbeat, and what nobody drives."""

from collections.abc import Sequence
from datetime import timedelta

from hitl_orchestrator.checkpoints.events import CHANNEL
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
# Give the claim back if it is still held, and say that the process does nothing for the run any
# more. Whoever cancelled the run waits for that.
RELEASE = """WITH released AS (UPDATE orchestrator_runs
    SET claim_token = nullif(claim_token, %(token)s),
    claimed_by = CASE WHEN claim_token = %(token)s THEN NULL ELSE claimed_by END,
    claimed_until = CASE WHEN claim_token = %(token)s THEN 'epoch' ELSE claimed_until END,
    working_by = nullif(working_by, %(driver)s),
    working_until = CASE WHEN working_by = %(driver)s THEN NULL ELSE working_until END
    WHERE run_id = %(run_id)s AND (claim_token = %(token)s OR working_by = %(driver)s)
    RETURNING run_id) SELECT pg_notify(%(channel)s, run_id) FROM released"""
# A run that has ended is not taken up again: its thread may have gone on.
KEEP_WORKING = """UPDATE orchestrator_runs
    SET working_by = %(driver)s, working_until = now() + %(lease)s
    WHERE run_id = ANY(%(run_ids)s) AND (working_by = %(driver)s
        OR status IN ('queued', 'running', 'awaiting_hitl')
        AND (working_until IS NULL OR working_until <= now()))"""


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


async def release(conn: Connection, claim: Claim, driver: str | None) -> None:
    """Give the claim back. `driver`: it has ended all its work on the run; None: it has not."""
    values = {
        "run_id": claim.run_id,
        "token": claim.token,
        "driver": driver,
        "channel": CHANNEL,
    }
    await conn.execute(RELEASE, values)


async def keep_working(
    conn: Connection, run_ids: Sequence[str], driver: str, lease: timedelta
) -> None:
    """Say that a process still works on runs that it does not drive any more."""
    await conn.execute(KEEP_WORKING, {"run_ids": [*run_ids], "driver": driver, "lease": lease})
