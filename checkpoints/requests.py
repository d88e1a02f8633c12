"""The tables `hitl_requests` and `hitl_responses`."""

from collections.abc import Sequence
from datetime import datetime

from psycopg import AsyncCursor
from psycopg.rows import DictRow
from psycopg.types.json import Json

from hitl_orchestrator.checkpoints.pool import Connection
from hitl_orchestrator.domain.hitl import HitlRequest, HitlResponse, Person, Settled
from hitl_orchestrator.domain.ports import Settlement
from hitl_orchestrator.domain.state import Asked

_SELECT = """SELECT r.*, coalesce((SELECT json_agg(a.response ORDER BY a.response_id)
    FROM hitl_responses a WHERE a.request_id = r.request_id), '[]') AS responses
    FROM hitl_requests r """
OF_RUN = _SELECT + "WHERE r.run_id = %s ORDER BY r.position"
ONE = _SELECT + "WHERE r.request_id = %s"
PENDING_OF_RUNS = (
    _SELECT + "WHERE r.run_id = ANY(%s) AND r.status = 'pending' ORDER BY r.run_id, r.position"
)
# Pending ones first: the most urgent, then the oldest; of the others the newest first. Three keys,
# all ascending, say so; a page begins after those of the last row before it.
LIST = (
    _SELECT  # noqa: S608  (constants of this file)
    + """, LATERAL (SELECT (r.status <> 'pending')::int AS is_over,
        CASE WHEN r.status <> 'pending' THEN 0 WHEN r.urgency = 'high' THEN -2
            WHEN r.urgency = 'normal' THEN -1 ELSE 0 END AS urgent,
        extract(epoch FROM r.created_at) * CASE r.status WHEN 'pending' THEN 1 ELSE -1 END AS age) k
    WHERE (%(status)s::text IS NULL OR r.status = %(status)s)
    AND (%(agent)s::text IS NULL OR r.origin_agent = %(agent)s)
    AND (%(urgency)s::text IS NULL OR r.urgency = %(urgency)s)
    AND (%(request_id)s::text IS NULL OR (k.is_over, k.urgent, k.age, r.request_id)
        > (%(is_over)s::int, %(urgent)s::int, extract(epoch FROM %(at)s::timestamptz)
            * CASE %(is_over)s::int WHEN 0 THEN 1 ELSE -1 END, %(request_id)s::text))
    ORDER BY k.is_over, k.urgent, k.age, r.request_id LIMIT %(limit)s"""
)
INSERT = """INSERT INTO hitl_requests (request_id, run_id, thread_id, position, status,
    origin_agent, urgency, request, denial_reason, created_at, updated_at, expires_at)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"""
SETTLE = """UPDATE hitl_requests SET status = %s, denial_reason = %s, settled = %s,
    resolved_by = %s, resolved_at = now(), updated_at = now()
    WHERE request_id = %s AND status = 'pending'"""
RESPOND = "INSERT INTO hitl_responses (request_id, response) VALUES (%s, %s)"
DELIVER = """UPDATE hitl_requests SET delivered_at = now(), updated_at = now()
    WHERE request_id = %s AND delivered_at IS NULL"""
EXPIRED = """SELECT DISTINCT run_id FROM hitl_requests
    WHERE status = 'pending' AND expires_at <= now() LIMIT %s"""

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
    for position, request in enumerate((one.request for one in asked), first_position):
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


def of_row(row: DictRow) -> HitlRequest:
    changing = {
        "status": row["status"],
        "denialReason": row["denial_reason"],
        "createdAt": row["created_at"],
        "updatedAt": row["updated_at"],
        "expiresAt": row["expires_at"],
        "deliveredAt": row["delivered_at"],
        "responses": row["responses"],
    }
    return HitlRequest.model_validate({**row["request"], **changing})


def settled_of(row: DictRow) -> Settled | None:
    return row["settled"] and Settled.model_validate(row["settled"])


def resolved_of(row: DictRow) -> tuple[Person | None, datetime] | None:
    if row["resolved_at"] is None:
        return None
    return row["resolved_by"] and Person.model_validate(row["resolved_by"]), row["resolved_at"]
