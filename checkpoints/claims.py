"""Who drives which run: claims, their heartbeat, and what nobody drives."""

from collections.abc import Sequence
from datetime import timedelta

from hitl_orchestrator.checkpoints.events import CHANNEL
from hitl_orchestrator.checkpoints.pool import Connection
from hitl_orchestrator.domain.ports import Claim

Offers = Sequence[str] | None  # what a process has of what runs need; None: whatever they need

# `claimed_until` of what nobody drives: 'epoch' is given back, a day later is left to others.
# `needs <@ offers`: a process drives only runs of which it has all agents.
TAKE = """UPDATE orchestrator_runs SET claim_token = %s, claimed_by = %s, claimed_until = now() + %s
    WHERE run_id = %s AND status IN ('queued', 'running') AND held IS NULL
    AND (claim_token IS NULL OR claimed_until < now())
    AND coalesce(needs <@ %s::text[], true) RETURNING claim_token"""
_TAKE_SOME = """UPDATE orchestrator_runs
    SET claim_token = gen_random_uuid()::text, claimed_by = %s, claimed_until = now() + %s
    WHERE run_id IN (SELECT run_id FROM orchestrator_runs WHERE status IN ('queued', 'running')
        AND held IS NULL AND {} AND coalesce(needs <@ %s::text[], true)
        ORDER BY claimed_until NULLS FIRST LIMIT %s FOR UPDATE SKIP LOCKED)
    RETURNING run_id, claim_token"""
TAKE_LAPSED = _TAKE_SOME.format("(claim_token IS NULL OR claimed_until < now())")
TAKE_LEFT = _TAKE_SOME.format("claim_token IS NULL AND claimed_until = '1970-01-02Z'")
LEAVE = """UPDATE orchestrator_runs SET claimed_until = '1970-01-02Z'
    WHERE run_id = %s AND status IN ('queued', 'running') AND claim_token IS NULL
    AND NOT needs <@ %s::text[]"""
# Not those left to a process that has their agents: it takes them without a job.
# Given back, or left alone for so long that its job must be lost; not those that wait in the queue
# again already.
LAPSED = """SELECT run_id, thread_id FROM orchestrator_runs r WHERE status IN ('queued', 'running')
    AND (claim_token IS NULL OR claimed_until < now())
    AND held IS NULL AND claimed_until IS DISTINCT FROM '1970-01-02Z'
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


async def take(
    conn: Connection, claim: Claim, driver: str, lease: timedelta, offers: Offers
) -> bool:
    """Claim one run, if nobody drives it and this process has its agents."""
    values = (claim.token, driver, lease, claim.run_id, _as_list(offers))
    return await (await conn.execute(TAKE, values)).fetchone() is not None


async def take_lapsed(
    conn: Connection, driver: str, lease: timedelta, limit: int, offers: Offers
) -> list[Claim]:
    """Claim runs that should run, that nobody drives, and of which this process has all agents."""
    rows = await conn.execute(TAKE_LAPSED, (driver, lease, _as_list(offers), limit))
    return [Claim(row["run_id"], row["claim_token"]) for row in await rows.fetchall()]


async def take_left(
    conn: Connection, driver: str, lease: timedelta, limit: int, offers: Offers
) -> list[Claim]:
    """Claim runs whose jobs were taken by processes that do not have their agents."""
    rows = await conn.execute(TAKE_LEFT, (driver, lease, _as_list(offers), limit))
    return [Claim(row["run_id"], row["claim_token"]) for row in await rows.fetchall()]


async def leave(conn: Connection, run_id: str, offers: Offers) -> bool:
    """Leave a run to those that have its agents, if this process does not. Return whether."""
    return (await conn.execute(LEAVE, (run_id, _as_list(offers)))).rowcount == 1


def _as_list(offers: Offers) -> list[str] | None:
    return None if offers is None else list(offers)


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
