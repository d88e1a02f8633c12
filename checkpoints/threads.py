"""Threads as LangGraph's clients list them: by pages with a number, not by keyset.

A thread is its run that has not ended, else its newest; or each question is a thread of its own.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, LiteralString

from psycopg import sql
from psycopg.rows import DictRow

from hitl_orchestrator.checkpoints import kept, requests
from hitl_orchestrator.checkpoints.listing import URGENT, leaving_out
from hitl_orchestrator.checkpoints.pool import Connection
from hitl_orchestrator.domain.hitl import HitlRequest
from hitl_orchestrator.domain.ports import WantedThreads
from hitl_orchestrator.domain.run import Run

MOST_COUNTED = 10_000
# Each status by its own index, so that a rare one is not looked for among all the others; and each
# run's thread by two, so that a long thread takes no longer than a short one.
RUNS = sql.SQL("""{noted}SELECT page.run_id FROM unnest(%(statuses)s::text[]) AS s (status),
    LATERAL (SELECT r.run_id, r.created_at FROM {source} r WHERE r.status = s.status AND {wanted}
    AND (r.status IN ('queued', 'running', 'awaiting_hitl')
        OR NOT EXISTS (SELECT FROM orchestrator_runs n WHERE n.thread_id = r.thread_id
            AND (n.created_at, n.run_id) > (r.created_at, r.run_id) OFFSET 0)
        AND NOT EXISTS (SELECT FROM orchestrator_runs n WHERE n.thread_id = r.thread_id
            AND n.status IN ('queued', 'running', 'awaiting_hitl') OFFSET 0))
    ORDER BY r.created_at DESC, r.run_id DESC LIMIT %(most)s) AS page
    ORDER BY page.created_at DESC, page.run_id DESC OFFSET %(offset)s LIMIT %(limit)s""")
# What waits in the queue's order, then what is over, the newest first.
QUESTIONS = sql.SQL(
    "{noted}SELECT request_id, run_id FROM ((SELECT 0 AS part, row_number() OVER (ORDER BY "  # noqa: S608  # of constants
    + requests.IN_ORDER
    + """) AS place, r.request_id, r.run_id FROM {source} r
        WHERE r.status = 'pending' AND %(waiting)s AND {waiting} ORDER BY """
    + requests.IN_ORDER
    + """ LIMIT %(most)s) UNION ALL (SELECT 1,
        row_number() OVER (ORDER BY r.created_at DESC, r.request_id DESC), r.request_id, r.run_id
        FROM {source} r WHERE r.status <> 'pending' AND %(over)s AND {over}
        ORDER BY r.created_at DESC, r.request_id DESC LIMIT %(most)s)) AS found
    ORDER BY part, place OFFSET %(offset)s LIMIT %(limit)s"""
)
COUNT = sql.SQL("SELECT count(*) AS number FROM ({}) AS counted")
OF_RUNS = kept.SELECT + "WHERE r.run_id = ANY(%s)"
# As in listing.py: where few fit, through them; else through the list in its order. More are few
# than there: what callers noted may be of long ago, at the end of the list.
AT_MOST_FEW = 5_000
NOTED: LiteralString = """SELECT r.run_id, r.thread_id, r.status, r.created_at
    FROM orchestrator_runs r
    WHERE r.metadata::text <> '{}' AND r.metadata::jsonb @> %(metadata)s::jsonb"""
COUNT_FEW = "SELECT count(*) AS number FROM (" + NOTED + " LIMIT %(few)s) AS few"  # noqa: S608
THROUGH_NOTED = sql.SQL("WITH noted AS MATERIALIZED (" + NOTED + ") ")
OF_NOTED = sql.SQL("""noted, LATERAL (SELECT q.run_id, q.request_id, q.status, q.origin_agent,
    q.urgency, q.created_at FROM hitl_requests q WHERE q.run_id = noted.run_id OFFSET 0)""")
ASKED_ELSEWHERE = """SELECT EXISTS (SELECT FROM orchestrator_runs
    WHERE thread_id = %s AND run_id <> %s AND request_count > 0) AS is_so"""
# Not as its index has it: too many are in there.
IS_NOTED = "r.metadata::text::jsonb @> %(metadata)s::jsonb"
IS_OF_NOTED = """EXISTS (SELECT FROM orchestrator_runs m WHERE m.run_id = r.run_id
    AND m.metadata::jsonb @> %(metadata)s::jsonb OFFSET 0)"""
OF_THREAD = """r.run_id = ANY(ARRAY(
    SELECT run_id FROM orchestrator_runs WHERE thread_id = %(thread_id)s))"""


async def list_threads(
    conn: Connection, wanted: WantedThreads, offset: int, limit: int, few: int = AT_MOST_FEW
) -> list[Run]:
    """Return the run of each thread, the newest first."""
    rows = await _select(conn, RUNS, wanted, offset, limit, few)
    return await _show(conn, [row["run_id"] for row in rows])


async def list_questions(
    conn: Connection, wanted: WantedThreads, offset: int, limit: int, few: int = AT_MOST_FEW
) -> list[tuple[Run, HitlRequest]]:
    """Return questions with their runs: pending ones in the queue's order, then the newest."""
    rows = await _select(conn, QUESTIONS, wanted, offset, limit, few)
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
    conn: Connection, query: sql.SQL, wanted: WantedThreads, offset: int, limit: int, few: int
) -> Sequence[DictRow]:
    values = _name_values(wanted, offset, limit, few)
    written = await _write(conn, query, wanted, values)
    return await (await conn.execute(written, values)).fetchall()


async def _count(conn: Connection, query: sql.SQL, wanted: WantedThreads) -> int:
    values = _name_values(wanted, 0, MOST_COUNTED, AT_MOST_FEW)
    written = COUNT.format(await _write(conn, query, wanted, values))
    row = await (await conn.execute(written, values)).fetchone()
    return row["number"] if row else 0


def _name_values(wanted: WantedThreads, offset: int, limit: int, few: int) -> dict[str, Any]:
    return {
        **wanted._asdict(),
        "metadata": json.dumps({**wanted.metadata}),
        "statuses": [*wanted.statuses],
        "wanted_urgent": URGENT.get(wanted.urgency or ""),
        "offset": offset,
        "limit": limit,
        "most": offset + limit,
        "few": few,
    }


async def _write(
    conn: Connection, query: sql.SQL, wanted: WantedThreads, values: Mapping[str, Any]
) -> sql.Composed:
    """Return the query with the conditions that apply, through the few runs that fit if so."""
    is_few = bool(wanted.metadata) and await _are_few(conn, values)
    is_noted = bool(wanted.metadata) and not is_few
    noted = THROUGH_NOTED if is_few else sql.SQL("")
    if query is RUNS:
        conditions: dict[LiteralString, bool] = {
            "r.thread_id = ANY(%(ids)s)": wanted.ids is not None,
            "r.run_id = %(run_id)s": wanted.run_id is not None,
            "r.thread_id = %(thread_id)s": wanted.thread_id is not None,
            IS_NOTED: is_noted,
        }
        source = sql.SQL("noted" if is_few else "orchestrator_runs")
        return query.format(noted=noted, source=source, wanted=_join(conditions))
    conditions = {
        "r.request_id = ANY(%(ids)s)": wanted.ids is not None,
        "r.run_id = %(run_id)s": wanted.run_id is not None,
        OF_THREAD: wanted.thread_id is not None,
        "r.origin_agent = %(agent)s": wanted.agent is not None,
        IS_OF_NOTED: is_noted,
    }
    is_urgent = wanted.urgency is not None
    return query.format(
        noted=noted,
        source=OF_NOTED if is_few else sql.SQL("hitl_requests"),
        waiting=_join({**conditions, requests.AS_URGENT: is_urgent}),
        over=_join({**conditions, "r.urgency = %(urgency)s": is_urgent}),
    )


async def _are_few(conn: Connection, values: Mapping[str, Any]) -> bool:
    row = await (await conn.execute(COUNT_FEW, values)).fetchone()
    return row is not None and row["number"] < values["few"]


def _join(conditions: Mapping[LiteralString, bool]) -> sql.SQL:
    applying: list[LiteralString] = [one for one, applies in conditions.items() if applies]
    return sql.SQL(" AND ".join(["true", *applying]))


async def _show(conn: Connection, run_ids: Sequence[str]) -> list[Run]:
    """Return the runs that are still there, in that order."""
    rows = await (await conn.execute(OF_RUNS, ([*dict.fromkeys(run_ids)],))).fetchall()
    found = dict[str, Run]()
    for row in rows:
        with leaving_out(row["run_id"]):
            found[row["run_id"]] = kept.build(row).show()
    return [found[run_id] for run_id in run_ids if run_id in found]
