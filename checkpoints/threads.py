"""Threads as LangGraph's clients list them: by pages with a number, not by keyset.

A thread is its run that has not ended, else its newest; or each question is a thread of its own.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, LiteralString

from psycopg import sql
from psycopg.rows import DictRow

from hitl_orchestrator.checkpoints import kept, requests
from hitl_orchestrator.checkpoints.listing import AT_MOST_FEW, leaving_out
from hitl_orchestrator.checkpoints.pool import Connection
from hitl_orchestrator.domain.hitl import HitlRequest
from hitl_orchestrator.domain.ports import WantedThreads
from hitl_orchestrator.domain.run import Run

MOST_COUNTED = 10_000
# Each status by its own index, so that a rare one is not looked for among all the others.
RUNS = sql.SQL("""SELECT page.run_id FROM unnest(%(statuses)s::text[]) AS s (status), LATERAL (
    SELECT r.run_id, r.created_at FROM orchestrator_runs r WHERE r.status = s.status AND {}
    AND NOT EXISTS (SELECT FROM orchestrator_runs n WHERE n.thread_id = r.thread_id
        AND (n.status IN ('queued', 'running', 'awaiting_hitl'), n.created_at, n.run_id)
        > (r.status IN ('queued', 'running', 'awaiting_hitl'), r.created_at, r.run_id) OFFSET 0)
    ORDER BY r.created_at DESC, r.run_id DESC LIMIT %(most)s) AS page
    ORDER BY page.created_at DESC, page.run_id DESC OFFSET %(offset)s LIMIT %(limit)s""")
# What waits in the queue's order, then what is over, the newest first.
QUESTIONS = sql.SQL(
    "SELECT request_id, run_id FROM ((SELECT 0 AS part, row_number() OVER (ORDER BY "  # noqa: S608  # of constants
    + requests.IN_ORDER
    + """) AS place, r.request_id, r.run_id FROM hitl_requests r
        WHERE r.status = 'pending' AND %(waiting)s AND {} ORDER BY """
    + requests.IN_ORDER
    + """ LIMIT %(most)s) UNION ALL (SELECT 1,
        row_number() OVER (ORDER BY r.created_at DESC, r.request_id DESC), r.request_id, r.run_id
        FROM hitl_requests r WHERE r.status <> 'pending' AND %(over)s AND {}
        ORDER BY r.created_at DESC, r.request_id DESC LIMIT %(most)s)) AS found
    ORDER BY part, place OFFSET %(offset)s LIMIT %(limit)s"""
)
COUNT = sql.SQL("SELECT count(*) AS number FROM ({}) AS counted")
OF_RUNS = kept.SELECT + "WHERE r.run_id = ANY(%s)"
# As in listing.py: where few fit, through them; else through the list in its order.
NOTED = """SELECT r.run_id FROM orchestrator_runs r WHERE r.metadata::text <> '{}'
    AND r.metadata::jsonb @> %(metadata)s::jsonb LIMIT %(few)s"""
ASKED_ELSEWHERE = """SELECT EXISTS (SELECT FROM orchestrator_runs
    WHERE thread_id = %s AND run_id <> %s AND request_count > 0) AS is_so"""
IS_FEW = "r.run_id IN (SELECT unnest(%(fitting)s::text[]))"
IS_NOTED = """EXISTS (SELECT FROM orchestrator_runs m WHERE m.run_id = r.run_id
    AND m.metadata::jsonb @> %(metadata)s::jsonb OFFSET 0)"""


async def list_threads(
    conn: Connection, wanted: WantedThreads, offset: int, limit: int
) -> list[Run]:
    """Return the run of each thread, the newest first."""
    rows = await _select(conn, RUNS, wanted, offset, limit)
    return await _show(conn, [row["run_id"] for row in rows])


async def list_questions(
    conn: Connection, wanted: WantedThreads, offset: int, limit: int
) -> list[tuple[Run, HitlRequest]]:
    """Return questions with their runs: pending ones in the queue's order, then the newest."""
    rows = await _select(conn, QUESTIONS, wanted, offset, limit)
    run_ids = [row["run_id"] for row in rows]
    runs = {run.runId: run for run in await _show(conn, run_ids)}
    found = list[tuple[Run, HitlRequest]]()
    for row in rows:
        if run := runs.get(row["run_id"]):
            found += [(run, one) for one in run.requests if one.requestId == row["request_id"]]
    return found


async def count_threads(conn: Connection, wanted: WantedThreads) -> int:
    """Count them, MOST_COUNTED at most."""
    return await _count(conn, RUNS, wanted)


async def count_questions(conn: Connection, wanted: WantedThreads) -> int:
    """Count them, MOST_COUNTED at most."""
    return await _count(conn, QUESTIONS, wanted)


async def has_asked_elsewhere(conn: Connection, thread_id: str, run_id: str) -> bool:
    """Tell whether another run of the thread has asked anything."""
    row = await (await conn.execute(ASKED_ELSEWHERE, (thread_id, run_id))).fetchone()
    return bool(row and row["is_so"])


async def _select(
    conn: Connection, query: sql.SQL, wanted: WantedThreads, offset: int, limit: int
) -> Sequence[DictRow]:
    values = await _name_values(conn, wanted, offset, limit)
    written = _write(query, wanted, values)
    return await (await conn.execute(written, values)).fetchall()


async def _count(conn: Connection, query: sql.SQL, wanted: WantedThreads) -> int:
    values = await _name_values(conn, wanted, 0, MOST_COUNTED)
    written = COUNT.format(_write(query, wanted, values))
    row = await (await conn.execute(written, values)).fetchone()
    return row["number"] if row else 0


async def _name_values(
    conn: Connection, wanted: WantedThreads, offset: int, limit: int
) -> dict[str, Any]:
    values = {
        **wanted._asdict(),
        "metadata": json.dumps({**wanted.metadata}),
        "statuses": [*wanted.statuses],
        "offset": offset,
        "limit": limit,
        "most": offset + limit,
        "few": AT_MOST_FEW,
        "fitting": None,
    }
    if wanted.metadata:
        rows = await (await conn.execute(NOTED, values)).fetchall()
        if len(rows) < AT_MOST_FEW:
            values["fitting"] = [row["run_id"] for row in rows]
    return values


def _write(query: sql.SQL, wanted: WantedThreads, values: Mapping[str, Any]) -> sql.Composed:
    """Return the query with the conditions that apply."""
    is_few = values["fitting"] is not None
    named: LiteralString = "r.thread_id" if query is RUNS else "r.request_id"
    conditions: dict[LiteralString, bool] = {
        named + " = ANY(%(ids)s)": wanted.ids is not None,
        "r.run_id = %(run_id)s": wanted.run_id is not None,
        "r.thread_id = %(thread_id)s": wanted.thread_id is not None,
        "r.origin_agent = %(agent)s": wanted.agent is not None,
        "r.urgency = %(urgency)s": wanted.urgency is not None,
        IS_FEW: is_few,
        IS_NOTED: bool(wanted.metadata) and not is_few,
    }
    applying: list[LiteralString] = [
        condition for condition, applies in conditions.items() if applies
    ]
    where = sql.SQL(" AND ".join(["true", *applying]))
    return query.format(*[where] * (1 if query is RUNS else 2))


async def _show(conn: Connection, run_ids: Sequence[str]) -> list[Run]:
    """Return the runs that are still there, in that order."""
    rows = await (await conn.execute(OF_RUNS, ([*dict.fromkeys(run_ids)],))).fetchall()
    found = dict[str, Run]()
    for row in rows:
        with leaving_out(row["run_id"]):
            found[row["run_id"]] = kept.build(row).show()
    return [found[run_id] for run_id in run_ids if run_id in found]
