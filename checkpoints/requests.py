"""The tables `hitl_requests` and `hitl_responses`."""

from datetime import datetime
from typing import Any

from psycopg import sql
from psycopg.rows import DictRow

from hitl_orchestrator.domain.hitl import (
    Answer,
    AnsweredRequest,
    Denied,
    HitlRequest,
    Person,
    RequestStatus,
    Settled,
)
from hitl_orchestrator.domain.ports import Settlement

# By name, as in runs.py.
COLUMNS = """SELECT r.request_id, r.run_id, r.status, r.origin_agent, r.urgency,
    r.agent_fingerprint, r.request, r.denial_reason, r.settled, r.resolved_by, r.resolved_at,
    r.created_at, r.updated_at, r.expires_at, r.delivered_at,
    coalesce((SELECT json_agg(a.response ORDER BY a.response_id)
    FROM hitl_responses a WHERE a.request_id = r.request_id), '[]') AS responses"""
_SELECT = COLUMNS + " FROM hitl_requests r "
ONE = _SELECT + "WHERE r.request_id = %s"
PENDING_OF_RUNS = (
    _SELECT + "WHERE r.run_id = ANY(%s) AND r.status = 'pending' ORDER BY r.run_id, r.position"
)
# The most urgent first, then the oldest; a page begins after the last row of the one before it.
_URGENT = "(CASE r.urgency WHEN 'high' THEN -2 WHEN 'normal' THEN -1 ELSE 0 END)"
IN_ORDER = _URGENT + ", r.created_at, r.request_id"
# As a range of that order: of an expression a planner knows no frequencies, and would sort all.
AS_URGENT = (
    "(" + IN_ORDER + ") >= (%(wanted_urgent)s::int, '-infinity'::timestamptz, '')"
    " AND (" + IN_ORDER + ") < (%(wanted_urgent)s::int + 1, '-infinity'::timestamptz, '')"
)
OF_AGENT = "r.origin_agent = %(agent)s"
WAITING = sql.SQL(
    _SELECT + "WHERE r.status = 'pending' AND {} ORDER BY " + IN_ORDER + " LIMIT %(limit)s"
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
# As in listing.py.
BEGINS = """r.request_id = ANY(ARRAY(SELECT q.request_id FROM hitl_requests q
    WHERE starts_with(q.request_id, %(prefix)s)))"""
# The oldest of each urgency is the first of its index.
OLDEST = (
    "(SELECT min(oldest.created_at) FROM (VALUES (-2), (-1), (0)) AS u (urgent),"  # noqa: S608
    " LATERAL (SELECT r.created_at FROM hitl_requests r WHERE r.status = 'pending'"
    " AND " + _URGENT + " = u.urgent ORDER BY r.created_at LIMIT 1) AS oldest)"
)
# Counted in an index alone, where the rows have been vacuumed.
COUNTS = (
    "SELECT origin_agent, urgency, count(*) AS number, "  # noqa: S608
    + OLDEST
    + """ AS oldest_at FROM hitl_requests WHERE status = 'pending'
    GROUP BY origin_agent, urgency ORDER BY origin_agent, urgency"""
)
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


def write_asked(
    request: HitlRequest,
    position: int,
    fingerprint: str,
    settled: Settled | None,
    resolved: tuple[Person | None, datetime] | None,
) -> dict[str, Any]:
    """Return a new row, with the names of its columns, as `write_json` writes it."""
    by, at = resolved or (None, None)
    return {
        "request_id": request.requestId,
        "position": position,
        "status": request.status.value,
        "origin_agent": request.originAgent,
        "urgency": request.urgency.value,
        "agent_fingerprint": fingerprint,
        "request": request.model_dump(mode="json", exclude=_KEPT_IN_COLUMNS, exclude_none=True),
        "denial_reason": request.denialReason,
        "created_at": request.createdAt and request.createdAt.isoformat(),
        "expires_at": request.expiresAt and request.expiresAt.isoformat(),
        "settled": settled and settled.json_to_keep(),
        "resolved_by": by,
        "resolved_at": at and at.isoformat(),
    }


def write_settlement(one: Settlement) -> dict[str, Any]:
    """Return what changes of its row, with the names of the columns, as `write_json` writes it."""
    return {
        "request_id": one.request.requestId,
        "status": one.request.status.value,
        "denial_reason": one.request.denialReason,
        "settled": one.settled.json_to_keep(),
        "resolved_by": one.by,
    }


def of_row(row: DictRow) -> HitlRequest:
    return HitlRequest.read(_read_fields(row))


def answered_of(row: DictRow) -> AnsweredRequest:
    """Return the request with its answer; a guard's denial is kept as its reason alone."""
    answer: Answer | None = None
    if settled := settled_of(row):
        answer = settled.answer
    elif row["status"] == RequestStatus.DENIED:
        answer = Denied(reason=row["denial_reason"])
    refusal = answer.reason if isinstance(answer, Denied) else None
    return AnsweredRequest.read({**_read_fields(row), "answer": answer, "refusal": refusal})


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
