"""The tables `hitl_requests` and `hitl_responses`."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from psycopg import AsyncCursor, sql
from psycopg.rows import DictRow
from psycopg.types.json import Json

from hitl_orchestrator.checkpoints.pool import Connection
from hitl_orchestrator.domain.hitl import (
    Answer,
    AnsweredRequest,
    Denied,
    HitlRequest,
    HitlResponse,
    Person,
    RequestStatus,
    Settled,
)
from hitl_orchestrator.domain.needs import Asker
from hitl_orchestrator.domain.ports import Settlement
from hitl_orchestrator.domain.state import Asked

# By name, as in runs.py.
_SELECT = """SELECT r.request_id, r.run_id, r.status, r.origin_agent, r.urgency,
    r.agent_fingerprint, r.request, r.denial_reason, r.settled, r.resolved_by, r.resolved_at,
    r.created_at, r.updated_at, r.expires_at, r.delivered_at,
    coalesce((SELECT json_agg(a.response ORDER BY a.response_id)
    FROM hitl_responses a WHERE a.request_id = r.request_id), '[]') AS responses
    FROM hitl_requests r """
OF_RUN = _SELECT + "WHERE r.run_id = %s ORDER BY r.position"
ONE = _SELECT + "WHERE r.request_id = %s"
PENDING_OF_RUNS = (
    _SELECT + "WHERE r.run_id = ANY(%s) AND r.status = 'pending' ORDER BY r.run_id, r.position"
)
# The most urgent first, then the oldest; a page begins after the last row of the one before it.
_URGENT = "(CASE r.urgency WHEN 'high' THEN -2 WHEN 'normal' THEN -1 ELSE 0 END)"
WAITING = sql.SQL(
    _SELECT
    + "WHERE r.status = 'pending' AND {} ORDER BY "
    + _URGENT
    + ", r.created_at, r.request_id LIMIT %(limit)s"
)
AFTER_WAITING = (
    "(" + _URGENT + ", r.created_at, r.request_id)"
    " > (%(urgent)s::int, %(at)s::timestamptz, %(request_id)s::text)"
)
# What does not wait any more, the newest first.
OVER = sql.SQL(
    _SELECT
    + """WHERE r.status <> 'pending' AND {}
    ORDER BY r.created_at DESC, r.request_id DESC LIMIT %(limit)s"""
)
AFTER_OVER = """(r.created_at, r.request_id) < (%(at)s::timestamptz, %(request_id)s::text)"""
# Plain text, not a pattern: `%` means itself.
HAS_TEXT = """strpos(lower(concat_ws(chr(10), r.request->>'question',
    r.request->>'additionalContext', r.request->'action'->>'name')), lower(%(text)s)) > 0"""
COUNTS = """SELECT origin_agent, urgency, count(*) AS number, min(created_at) AS oldest_at
    FROM hitl_requests WHERE status = 'pending'
    GROUP BY origin_agent, urgency ORDER BY origin_agent, urgency"""
INSERT = """INSERT INTO hitl_requests (request_id, run_id, thread_id, position, status,
    origin_agent, urgency, agent_fingerprint, request, denial_reason,
    created_at, updated_at, expires_at)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"""
SETTLE = """UPDATE hitl_requests SET status = %s, denial_reason = %s, settled = %s,
    resolved_by = %s, resolved_at = now(), updated_at = now()
    WHERE request_id = %s AND status = 'pending'"""
RESPOND = "INSERT INTO hitl_responses (request_id, response) VALUES (%s, %s)"
DELIVER = """UPDATE hitl_requests SET delivered_at = now(), updated_at = now()
    WHERE request_id = %s AND delivered_at IS NULL"""
FIT = "UPDATE hitl_requests SET agent_fingerprint = %s WHERE request_id = %s"
# By keyset: a run whose questions cannot be ended stands in nobody's way.
EXPIRED = """SELECT DISTINCT run_id FROM hitl_requests
    WHERE status = 'pending' AND expires_at <= now() AND run_id > %(after)s
    ORDER BY run_id LIMIT %(limit)s"""
# Nothing is waited for: who has the row locked ends its questions itself, or the next sweep does.
LOCK_EXPIRED = """SELECT FROM orchestrator_runs r WHERE r.run_id = %s
    AND EXISTS (SELECT FROM hitl_requests q WHERE q.run_id = r.run_id
        AND q.status = 'pending' AND q.expires_at <= now())
    FOR UPDATE OF r SKIP LOCKED"""

_KEPT_IN_COLUMNS = {
    "status",
    "denialReason",
    "createdAt",
    "updatedAt",
    "expiresAt",
    "deliveredAt",
    "responses",
}


async def of_run(conn: Connection, run_id: str) -> list[DictRow]:
    return await (await conn.execute(OF_RUN, (run_id,))).fetchall()


async def insert(conn: Connection, asked: Sequence[Asked], first_position: int) -> None:
    for position, one in enumerate(asked, first_position):
        request = one.request
        times = (request.createdAt, request.createdAt, request.expiresAt)
        static = Json(request.model_dump(mode="json", exclude=_KEPT_IN_COLUMNS))
        values = (
            request.requestId,
            request.runId,
            request.threadId,
            position,
            request.status,
            request.originAgent,
            request.urgency,
            one.agentFingerprint,
        )
        await conn.execute(INSERT, (*values, static, request.denialReason, *times))


async def settle(conn: Connection, settlements: Sequence[Settlement]) -> list[AsyncCursor[DictRow]]:
    """Return cursors whose row counts are known after the pipeline.

    1 each, or somebody was first.
    """
    cursors: list[AsyncCursor[DictRow]] = []
    for one in settlements:
        by = one.by and Json(one.by.json_object())
        settled = Json(one.settled.json_object())
        cursors.append(
            await conn.execute(
                SETTLE,
                (one.request.status, one.request.denialReason, settled, by, one.request.requestId),
            )
        )
    return cursors


async def respond(conn: Connection, responses: Sequence[HitlResponse]) -> None:
    for response in responses:
        await conn.execute(RESPOND, (response.requestId, Json(response.json_object())))


async def deliver(conn: Connection, delivered: Sequence[HitlRequest]) -> None:
    for request in delivered:
        await conn.execute(DELIVER, (request.requestId,))


async def fit(conn: Connection, fitted: Mapping[str, str]) -> None:
    for request_id, fingerprint in fitted.items():
        await conn.execute(FIT, (fingerprint, request_id))


def asker_of(row: DictRow) -> Asker | None:
    """Return who asked, until the answer is delivered; None: nobody waits for one any more."""
    is_refused_by_guard = row["status"] == RequestStatus.DENIED and row["settled"] is None
    if row["delivered_at"] is not None or is_refused_by_guard:
        return None
    return Asker(row["origin_agent"], row["request"]["stepId"], row["agent_fingerprint"])


def of_row(row: DictRow) -> HitlRequest:
    return HitlRequest.read(_read_fields(row))


def answered_of(row: DictRow) -> AnsweredRequest:
    """Return the request with its answer; a guard's denial is kept as its reason alone."""
    answer: Answer | None = None
    if settled := settled_of(row):
        answer = settled.answer
    elif row["status"] == RequestStatus.DENIED:
        answer = Denied(reason=row["denial_reason"])
    return AnsweredRequest.read({**_read_fields(row), "answer": answer})


def _read_fields(row: DictRow) -> dict[str, Any]:
    changing = {
        "status": row["status"],
        "denialReason": row["denial_reason"],
        "createdAt": row["created_at"],
        "updatedAt": row["updated_at"],
        "expiresAt": row["expires_at"],
        "deliveredAt": row["delivered_at"],
        "responses": row["responses"],
    }
    return {**row["request"], **changing}


def settled_of(row: DictRow) -> Settled | None:
    return row["settled"] and Settled.read(row["settled"])


def resolved_of(row: DictRow) -> tuple[Person | None, datetime] | None:
    if row["resolved_at"] is None:
        return None
    return row["resolved_by"] and Person.read(row["resolved_by"]), row["resolved_at"]
