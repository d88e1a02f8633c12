"""The table `hitl_processes`: which processes live, and which agents each has."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from hitl_orchestrator.checkpoints.agents import KNOWN, read_known
from hitl_orchestrator.checkpoints.pool import Connection
from hitl_orchestrator.domain.assignments import RegisteredAgent

# `believed` is the database's time as far as the process that asks believes it: where the clock
# jumps, everybody lives on until he has had the time to say so.
REPORT = (
    """WITH mine AS (
    INSERT INTO hitl_processes (process_id, offers, drives, alive_until)
    VALUES (%(process_id)s, %(offers)s, %(drives)s, now() + %(lease)s)
    ON CONFLICT (process_id) DO UPDATE
        SET drives = excluded.drives, alive_until = excluded.alive_until),
gone AS (DELETE FROM hitl_processes
    WHERE alive_until < least(now(), %(believed)s::timestamptz) - interval '1 hour')
SELECT now() AS now, h.last_held, p.process_id, p.offers, p.drives, """  # noqa: S608  # of constants
    + KNOWN
    + """ AS agents,
    EXISTS (SELECT FROM webhook_endpoints WHERE disabled_at IS NULL) AS has_webhooks
    FROM (SELECT max(held->>'since') AS last_held
        FROM orchestrator_runs WHERE held IS NOT NULL) h
    LEFT JOIN hitl_processes p ON p.alive_until > least(now(), %(believed)s::timestamptz)
        AND p.process_id <> %(process_id)s"""
)
# Of one that reports when it can again: nothing is asked of the others.
KEEP_ALIVE = """UPDATE hitl_processes SET alive_until = now() + %(lease)s
    WHERE process_id = %(driver)s"""
SIGN_OFF = "DELETE FROM hitl_processes WHERE process_id = ANY(%s)"
HAS_FITTING = """SELECT EXISTS (SELECT FROM hitl_processes
    WHERE drives AND alive_until > least(now(), %(believed)s::timestamptz)
    AND offers @> %(needs)s::text[]) AS there"""
# Held ones too: somebody may have come who fits. Not those that are driven just now, nor those that
# the process which asks could drive.
UNFITTING = """SELECT run_id FROM orchestrator_runs r
    WHERE status = ANY(%(statuses)s)
    AND (claim_token IS NULL OR claimed_until < least(now(), %(believed)s::timestamptz))
    AND NOT EXISTS (SELECT FROM hitl_processes p WHERE p.drives AND r.needs <@ p.offers
        AND p.alive_until > least(now(), %(believed)s::timestamptz))
    AND (held IS NOT NULL OR NOT needs <@ %(offers)s::text[]) ORDER BY created_at"""
UNFINISHED = """SELECT run_id FROM orchestrator_runs
    WHERE status IN ('queued', 'running', 'awaiting_hitl') ORDER BY created_at"""


class Process(NamedTuple):
    """`offers`: what it has of what runs need. `drives`: it does not only take calls."""

    process_id: str
    offers: frozenset[str]
    drives: bool


class Known(NamedTuple):
    """What a process learns when it says that it lives. `last_held`: when; None: no run is.

    `now`: the database's clock. `agents`: those in processes of their own. `has_webhooks`: somebody
    is told of the queue's frames.
    """

    others: list[Process]
    last_held: str | None
    now: datetime
    agents: tuple[RegisteredAgent, ...] = ()
    has_webhooks: bool = False


async def report(
    conn: Connection, process: Process, lease: timedelta, believed: datetime | None
) -> Known:
    """Keep its row for that long. Return the others that live."""
    values = {
        "process_id": process.process_id,
        "offers": sorted(process.offers),
        "drives": process.drives,
        "lease": lease,
        "believed": believed,
    }
    rows = await (await conn.execute(REPORT, values)).fetchall()
    others = [
        Process(row["process_id"], frozenset[str](row["offers"]), row["drives"])
        for row in rows
        if row["process_id"] is not None
    ]
    agents = read_known(rows[0]["agents"])
    first = rows[0]
    return Known(others, first["last_held"], first["now"], agents, first["has_webhooks"])


async def sign_off(conn: Connection, process_ids: Sequence[str]) -> None:
    await conn.execute(SIGN_OFF, (list(process_ids),))


async def has_fitting(conn: Connection, needs: Collection[str], believed: datetime | None) -> bool:
    """Tell whether one of those that live and drive has all of it."""
    values = {"needs": sorted(needs), "believed": believed}
    row = await (await conn.execute(HAS_FITTING, values)).fetchone()
    return bool(row and row["there"])


async def unfitting(
    conn: Connection, offers: Collection[str], paused_too: bool, believed: datetime | None
) -> list[str]:
    """Return unfinished runs that no process that lives and drives has all agents for.

    Without those that a process with these offers could go on with; held ones in any case.
    """
    statuses = ["queued", "running", *(["awaiting_hitl"] if paused_too else [])]
    values = {"statuses": statuses, "offers": sorted(offers), "believed": believed}
    rows = await conn.execute(UNFITTING, values)
    return [row["run_id"] for row in await rows.fetchall()]


async def unfinished(conn: Connection) -> list[str]:
    return [row["run_id"] for row in await (await conn.execute(UNFINISHED)).fetchall()]
