"""The table `hitl_assignments`: steps that agents in processes of their own take, keep, report."""

import json
from collections.abc import Sequence
from typing import Any

from psycopg.rows import DictRow

from hitl_orchestrator.checkpoints.agents import LEASE
from hitl_orchestrator.checkpoints.pool import Connection
from hitl_orchestrator.domain.assignments import AgentReport, Assignment, ReportedOutcome
from hitl_orchestrator.domain.json_values import write_json
from hitl_orchestrator.domain.records import Json

_COLUMNS = """a.run_id, a.step_id, a.capability_id, a.number, a.task, a.answers, a.told, a.report,
    a.progress, a.progress_number, coalesce(a.leased_until > now(), false) AS is_taken"""
FIND = (
    "SELECT "  # noqa: S608  # of constants
    + _COLUMNS
    + """, coalesce(g.alive_until > now(), false) AS is_alive
    FROM hitl_assignments a LEFT JOIN hitl_agents g USING (capability_id)
    WHERE a.run_id = %s AND a.step_id = %s"""
)
# Of two that drive the run, one frozen and late, the first hands it out.
ASSIGN = """INSERT INTO hitl_assignments AS a
        (run_id, step_id, capability_id, number, task, answers, told)
    VALUES (%(run_id)s, %(step_id)s, %(capability_id)s, %(number)s, %(task)s, %(answers)s, %(told)s)
    ON CONFLICT (run_id, step_id) DO UPDATE SET number = excluded.number, task = excluded.task,
        answers = excluded.answers, told = excluded.told, report = NULL, token = NULL,
        leased_until = NULL, progress = '[]', created_at = now()
        WHERE a.number = excluded.number - 1 AND a.report IS NOT NULL"""
_GOES_ON = """EXISTS (SELECT FROM orchestrator_runs r WHERE r.run_id = a.run_id
        AND r.status IN ('queued', 'running', 'awaiting_hitl'))"""
# A step that was begun is given to nobody but its home. A token whose reply was lost has it again.
TAKE = (
    """WITH free AS (SELECT a.run_id, a.step_id, a.home FROM hitl_assignments a
        WHERE a.capability_id = %(capability_id)s AND a.report IS NULL
        AND (a.token IS NULL OR a.token = %(token)s OR a.leased_until < now())
        AND (a.home IS NULL OR a.home = %(home)s) AND """  # noqa: S608
    + _GOES_ON
    + """ ORDER BY a.token IS DISTINCT FROM %(token)s, a.created_at
        LIMIT 1 FOR UPDATE OF a SKIP LOCKED)
    UPDATE hitl_assignments a
    SET token = %(token)s, home = %(home)s, leased_until = now() + %(lease)s
    FROM free WHERE a.run_id = free.run_id AND a.step_id = free.step_id
    RETURNING """
    + _COLUMNS
    + ", free.home IS NOT NULL AS is_begun"
)
KEEP = (
    """UPDATE hitl_assignments a SET leased_until = now() + %(lease)s,
        progress = coalesce(%(progress)s::json, progress),
        progress_number = progress_number + (%(progress)s::json IS NOT NULL)::integer
    WHERE a.run_id = %(run_id)s AND a.step_id = %(step_id)s AND a.token = %(token)s
    AND a.capability_id = %(capability_id)s AND a.report IS NULL AND """  # noqa: S608
    + _GOES_ON
)
# The same token once more: the reply was lost; the run may have ended by that report.
REPORT = (
    """UPDATE hitl_assignments a SET report = coalesce(a.report, %(report)s::json)
    WHERE a.run_id = %(run_id)s AND a.step_id = %(step_id)s AND a.token = %(token)s
    AND a.capability_id = %(capability_id)s AND (a.report IS NOT NULL OR """  # noqa: S608
    + _GOES_ON
    + ")"
)
WITHDRAW = """UPDATE hitl_assignments SET report = %s::json, token = NULL, leased_until = NULL
    WHERE run_id = %s AND step_id = %s AND number = %s AND report IS NULL"""


async def find(conn: Connection, run_id: str, step_id: str) -> Assignment | None:
    row = await (await conn.execute(FIND, (run_id, step_id))).fetchone()
    return None if row is None else _read(row, is_alive=row["is_alive"])


async def assign(conn: Connection, assignment: Assignment) -> None:
    """Hand it out, unless its number was handed out before."""
    answers = assignment.answers
    values = {
        "run_id": assignment.runId,
        "step_id": assignment.stepId,
        "capability_id": assignment.capabilityId,
        "number": assignment.number,
        "task": write_json(assignment.task),
        "answers": None if answers is None else write_json(answers),
        "told": json.dumps(assignment.told),
    }
    await conn.execute(ASSIGN, values)


async def take(
    conn: Connection, capability_id: str, home: str, token: str
) -> tuple[Assignment, bool] | None:
    """Return a step that is free, and whether it was begun there before; None: there is none."""
    values = {"capability_id": capability_id, "home": home, "token": token, "lease": LEASE}
    row = await (await conn.execute(TAKE, values)).fetchone()
    return None if row is None else (_read(row), row["is_begun"])


async def keep(
    conn: Connection,
    capability_id: str,
    run_id: str,
    step_id: str,
    token: str,
    progress: Sequence[Json],
) -> bool:
    """Return whether the step is the token's still."""
    values = _name(capability_id, run_id, step_id, token) | {
        "lease": LEASE,
        "progress": write_json([*progress]) if progress else None,
    }
    return (await conn.execute(KEEP, values)).rowcount > 0


async def report(
    conn: Connection, capability_id: str, run_id: str, step_id: str, token: str, said: AgentReport
) -> bool:
    """Return whether the step was the token's."""
    values = _name(capability_id, run_id, step_id, token) | {"report": said.write_json().decode()}
    return (await conn.execute(REPORT, values)).rowcount > 0


async def withdraw(conn: Connection, assignment: Assignment, reason: str) -> None:
    said = AgentReport(outcome=ReportedOutcome.FAILED, reason=reason)
    values = said.write_json().decode(), assignment.runId, assignment.stepId, assignment.number
    await conn.execute(WITHDRAW, values)


def _name(capability_id: str, run_id: str, step_id: str, token: str) -> dict[str, Any]:
    return {
        "capability_id": capability_id,
        "run_id": run_id,
        "step_id": step_id,
        "token": token,
    }


def _read(row: DictRow, *, is_alive: bool = True) -> Assignment:
    return Assignment(
        runId=row["run_id"],
        stepId=row["step_id"],
        capabilityId=row["capability_id"],
        number=row["number"],
        task=row["task"],
        answers=row["answers"],
        told=row["told"],
        report=None if row["report"] is None else AgentReport.read(row["report"]),
        progress=tuple(row["progress"]),
        progressNumber=row["progress_number"],
        isTaken=row["is_taken"],
        isAlive=is_alive,
    )
