"""Who drives which run: claims, their heartbeat, and what nobody drives."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, LiteralString, NamedTuple

from hitl_orchestrator.checkpoints.events import CHANNEL
from hitl_orchestrator.checkpoints.pool import Connection
from hitl_orchestrator.domain.ports import Claim

LEFT_CHANNEL = "hitl_left"  # a process has no place for a run, whose id this carries
Offers = Sequence[str] | None  # what a process has of what runs need; None: whatever they need

# Nobody drives it: its claim was given back, or has run out by a clock that is believed. What has
# lost several drivers in a row waits longer each time: 2, 4, 8 s, at most a minute.
_IDLE = """(claim_token IS NULL OR claimed_until + make_interval(secs =>
            CASE WHEN attempts > 1 THEN least(2 ^ (attempts - 1), 60) ELSE 0 END)
        < least(now(), %(believed)s::timestamptz))"""
# A claim whose reply was lost is taken again by the same token, and counted once.
_CLAIM = """UPDATE orchestrator_runs r
    SET claim_token = %(token)s, claimed_by = %(driver)s, claimed_until = now() + %(lease)s,
    attempts = attempts + (claim_token IS DISTINCT FROM %(token)s)::integer """
# `claimed_until` of what nobody drives: 'epoch' is given back, a day later is left to others.
# `needs <@ offers`: a process drives only runs of which it has all agents.
TAKE = (
    _CLAIM
    + """WHERE run_id = %(run_id)s AND status IN ('queued', 'running') AND held IS NULL
    AND (claim_token = %(token)s OR """
    + _IDLE
    + """) AND (attempts < 2 OR %(suspects)s > 0)
    AND coalesce(needs <@ %(offers)s::text[], true) RETURNING run_id, attempts"""
)
_TO_TAKE = """SELECT run_id FROM orchestrator_runs WHERE status IN ('queued', 'running')
        AND held IS NULL AND (claim_token = %(token)s OR {idle})
        AND run_id <> ALL(%(driven)s) AND coalesce(needs <@ %(offers)s::text[], true)"""
# Those that lost their drivers several times in a row come one by one: whichever of them kills its
# process takes no other of them along.
_TAKE_SOME = (
    "WITH fresh AS ("
    + _TO_TAKE
    + """ AND attempts < 2
        ORDER BY claimed_until NULLS FIRST LIMIT %(limit)s FOR UPDATE SKIP LOCKED),
    suspect AS ("""
    + _TO_TAKE
    + """ AND attempts >= 2
        ORDER BY attempts, claimed_until LIMIT %(suspects)s FOR UPDATE SKIP LOCKED) """
    + _CLAIM
    + """FROM (TABLE fresh UNION ALL TABLE suspect) taken WHERE r.run_id = taken.run_id
    RETURNING r.run_id, attempts"""
)
TAKE_LAPSED = _TAKE_SOME.format(idle=_IDLE)
TAKE_LEFT = _TAKE_SOME.format(idle="(claim_token IS NULL AND claimed_until = '1970-01-02Z')")
LEAVE = """UPDATE orchestrator_runs SET claimed_until = '1970-01-02Z'
    WHERE run_id = %s AND status IN ('queued', 'running') AND claim_token IS NULL
    AND NOT needs <@ %s::text[]"""
# Not those left to a process that has their agents: it takes them without a job.
# Given back, or left alone for so long that its job must be lost; not those that wait in the queue
# again already.
_LAPSED = """SELECT run_id, thread_id FROM orchestrator_runs r
    WHERE status IN ('queued', 'running') AND {idle}
    AND held IS NULL AND claimed_until IS DISTINCT FROM '1970-01-02Z'
    AND (claimed_until = 'epoch' OR updated_at < now() - %(left_alone)s)
    AND NOT EXISTS (SELECT FROM procrastinate_jobs j
        WHERE j.queueing_lock = r.run_id AND j.status = 'todo') LIMIT %(limit)s"""
LAPSED = _LAPSED.format(idle=_IDLE)
# By token, not by the name of the process: a claim of which the process does not know (the reply to
# its COMMIT was lost) must run out. A row that somebody has locked is renewed the next time; it is
# still ours.
HEARTBEAT = """WITH mine AS (
        SELECT * FROM unnest(%(run_ids)s::text[], %(tokens)s::text[]) AS m (run_id, claim_token)),
    free AS (SELECT r.run_id FROM orchestrator_runs r JOIN mine USING (run_id, claim_token)
        FOR NO KEY UPDATE OF r SKIP LOCKED),
    renewed AS (UPDATE orchestrator_runs r SET claimed_until = now() + %(lease)s
        FROM free WHERE r.run_id = free.run_id)
    SELECT run_id, claim_token FROM orchestrator_runs JOIN mine USING (run_id, claim_token)
    WHERE status IN ('queued', 'running')"""
# Give the claim back if it is still held (nobody has died, so it does not count as an attempt), and
# say that the process does nothing for the run any more. Whoever cancelled the run waits for that.
RELEASE = """WITH released AS (UPDATE orchestrator_runs
    SET claim_token = nullif(claim_token, %(token)s),
    claimed_by = CASE WHEN claim_token = %(token)s THEN NULL ELSE claimed_by END,
    claimed_until = CASE WHEN claim_token = %(token)s THEN 'epoch' ELSE claimed_until END,
    attempts = greatest(attempts - (claim_token = %(token)s)::integer, 0),
    working_by = nullif(working_by, %(driver)s),
    working_until = CASE WHEN working_by = %(driver)s THEN NULL ELSE working_until END
    WHERE run_id = %(run_id)s AND (claim_token = %(token)s OR working_by = %(driver)s)
    RETURNING run_id) SELECT pg_notify(%(channel)s, run_id) FROM released"""
# A run that has ended is not taken up again: its thread may have gone on.
KEEP_WORKING = """UPDATE orchestrator_runs
    SET working_by = %(driver)s, working_until = now() + %(lease)s
    WHERE run_id IN (SELECT run_id FROM orchestrator_runs WHERE run_id = ANY(%(run_ids)s)
        AND (working_by = %(driver)s OR status IN ('queued', 'running', 'awaiting_hitl')
            AND (working_until IS NULL OR working_until <= now())) FOR UPDATE SKIP LOCKED)"""


class Taker(NamedTuple):
    """A process that takes claims.

    `driven`: runs that it drives already; it never takes one from itself. `may_suspect`: whether
    it may take a run that has lost several drivers in a row. `believed`: the database's time as
    far as the process believes it; None: as the database has it.
    """

    driver: str
    lease: timedelta
    offers: Offers = None
    driven: Sequence[str] = ()
    may_suspect: bool = True
    believed: datetime | None = None

    def values(self, token: str) -> dict[str, Any]:
        return {
            "token": token,
            "driver": self.driver,
            "lease": self.lease,
            "offers": _as_list(self.offers),
            "driven": [*self.driven],
            "suspects": int(self.may_suspect),
            "believed": self.believed,
        }


async def take(conn: Connection, claim: Claim, taker: Taker) -> Claim | None:
    """Claim one run, if nobody drives it and the process has its agents.

    Return the claim, with its attempt.
    """
    values = {**taker.values(claim.token), "run_id": claim.run_id}
    row = await (await conn.execute(TAKE, values)).fetchone()
    return None if row is None else claim._replace(attempt=row["attempts"])


async def take_lapsed(conn: Connection, token: str, taker: Taker, limit: int) -> list[Claim]:
    """Claim runs that should run, that nobody drives, and of which the process has all agents.

    Where the reply is lost, the same token takes the same again.
    """
    return await _take_some(conn, TAKE_LAPSED, token, taker, limit)


async def take_left(conn: Connection, token: str, taker: Taker, limit: int) -> list[Claim]:
    """Claim runs whose jobs were taken by processes that do not have their agents."""
    return await _take_some(conn, TAKE_LEFT, token, taker, limit)


async def _take_some(
    conn: Connection, statement: LiteralString, token: str, taker: Taker, limit: int
) -> list[Claim]:
    rows = await conn.execute(statement, {**taker.values(token), "limit": limit})
    return [Claim(row["run_id"], token, row["attempts"]) for row in await rows.fetchall()]


async def leave(conn: Connection, run_id: str, offers: Offers) -> bool:
    """Leave a run to those that have its agents, if this process does not. Return whether."""
    return (await conn.execute(LEAVE, (run_id, _as_list(offers)))).rowcount == 1


def _as_list(offers: Offers) -> list[str] | None:
    return None if offers is None else list(offers)


async def lapsed(
    conn: Connection, left_alone: timedelta, limit: int, believed: datetime | None
) -> list[tuple[str, str]]:
    """Return (run, thread) of runs that should run and that nobody drives.

    They were given back, or left alone for that long.
    """
    values = {"left_alone": left_alone, "limit": limit, "believed": believed}
    rows = await (await conn.execute(LAPSED, values)).fetchall()
    return [(row["run_id"], row["thread_id"]) for row in rows]


async def beat(conn: Connection, held: Sequence[Claim], lease: timedelta) -> set[tuple[str, str]]:
    """Keep claims by one statement. Return (run, token) of those that are still held."""
    rows = await (await conn.execute(HEARTBEAT, list_held(held, lease))).fetchall()
    return {(row["run_id"], row["claim_token"]) for row in rows}


def list_held(held: Sequence[Claim], lease: timedelta) -> dict[str, Any]:
    """Return the parameters of HEARTBEAT."""
    return {
        "run_ids": [claim.run_id for claim in held],
        "tokens": [claim.token for claim in held],
        "lease": lease,
    }


async def pass_on(conn: Connection, claim: Claim) -> None:
    """Give back what there is no place for; who has one is told."""
    await release(conn, claim, None)
    await tell_left(conn, claim.run_id)


async def tell_left(conn: Connection, run_id: str) -> None:
    """Tell all processes, with the commit, that a run was left for lack of a place."""
    await conn.execute("SELECT pg_notify(%s, %s)", (LEFT_CHANNEL, run_id))


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
