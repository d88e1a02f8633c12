"""Pages of runs, by keyset: they neither skip nor repeat while runs come and go."""

import base64
import json
import logging
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, LiteralString, TypeVar

from psycopg import sql
from psycopg.rows import DictRow
from pydantic import AwareDatetime, Field, TypeAdapter

from hitl_orchestrator.checkpoints import kept, requests, runs
from hitl_orchestrator.checkpoints.pool import Connection
from hitl_orchestrator.domain.errors import Invalid, Unreadable
from hitl_orchestrator.domain.hitl import HitlRequest, QueueCounts, RequestStatus, Urgency
from hitl_orchestrator.domain.ports import Page, WaitingRun, Wanted
from hitl_orchestrator.domain.run import Run, RunStatus

_RUNS = sql.SQL(
    kept.SELECT
    + """WHERE {}
    ORDER BY r.created_at DESC, r.run_id DESC LIMIT %(limit)s"""
)
WAITING = sql.SQL(
    runs.SELECT
    + """WHERE r.status = 'awaiting_hitl'
    AND r.pending_urgency IS NOT NULL AND {}
    ORDER BY -r.pending_urgency, r.pending_since, r.run_id LIMIT %(limit)s"""
)
# Found in the index of ids, and before anything else of the row is read. Where the collation is C
# Postgres makes a range of it by itself; any other may order what begins alike otherwise.
BEGINS = """r.run_id = ANY(ARRAY(SELECT q.run_id FROM orchestrator_runs q
    WHERE starts_with(q.run_id, %(prefix)s)))"""
# Two ways to the runs with a question that is looked for. Where few questions fit, through them;
# else through the queue in its order, which soon has enough. Postgres' own estimate of which is
# the shorter was wrong by far.
AT_MOST_FEW = 1000
FITTING: LiteralString = (
    "SELECT r.run_id FROM hitl_requests r WHERE r.status = 'pending' AND {} ORDER BY "  # noqa: S608  # of constants
    + requests.IN_ORDER
    + " LIMIT %(few)s"
)
THROUGH_QUESTIONS = "r.run_id IN (SELECT unnest(%(fitting)s::text[]))"
THROUGH_QUEUE: LiteralString = """EXISTS (SELECT FROM hitl_requests q WHERE q.run_id = r.run_id
    AND q.status = 'pending' AND (%(agent)s::text IS NULL OR q.origin_agent = %(agent)s)
    AND (%(urgency)s::text IS NULL OR q.urgency = %(urgency)s) OFFSET 0)"""
AS_URGENT_AT_LEAST = "-r.pending_urgency <= %(wanted_urgent)s::int"
AFTER_WAITING = """(-r.pending_urgency, r.pending_since, r.run_id)
    > (-(%(rank)s::smallint), %(since)s::timestamptz, %(id)s::text)"""


_log = logging.getLogger("hitl.listing")

C = TypeVar("C", bound=tuple[Any, ...])

_REQUEST_KEYS = ("is_over", "urgent", "at", "request_id")
_after_request = TypeAdapter(
    tuple[Annotated[int, Field(ge=0, le=1)], Annotated[int, Field(ge=-2, le=0)], AwareDatetime, str]
)
URGENT: dict[str, int] = {Urgency.HIGH: -2, Urgency.NORMAL: -1, Urgency.LOW: 0}
_after_newest = TypeAdapter(tuple[AwareDatetime, str])
_after_waiting = TypeAdapter(tuple[Annotated[int, Field(ge=0, le=2)], AwareDatetime, str])


async def newest(
    conn: Connection,
    status: RunStatus | None,
    thread_id: str | None,
    limit: int,
    cursor: str | None,
    prefix: str | None,
) -> Page[Run]:
    values: dict[str, Any] = {
        "status": status,
        "thread_id": thread_id,
        "prefix": prefix,
        **read_cursor(cursor, _after_newest, ("at", "id")),
    }
    rows, more = await _page(conn, _RUNS, limit, values, {
        "r.status = %(status)s": status is not None,
        "r.thread_id = %(thread_id)s": thread_id is not None,
        BEGINS: prefix is not None,
        "(r.created_at, r.run_id) < (%(at)s::timestamptz, %(id)s)": cursor is not None,
    })  # fmt: skip
    found: list[Run] = []
    for row in rows:
        with leaving_out(row["run_id"]):
            found.append(kept.build(row).show())
    return Page(
        found,
        write_cursor(rows[-1]["created_at"].isoformat(), rows[-1]["run_id"]) if more else None,
    )


async def waiting(
    conn: Connection,
    agent: str | None,
    urgency: str | None,
    thread_id: str | None,
    limit: int,
    cursor: str | None,
    few: int = AT_MOST_FEW,
) -> Page[WaitingRun]:
    """Return paused runs, most urgent first, then oldest.

    `few`: so many questions at least that fit are too many to be gone through.
    """
    values: dict[str, Any] = {
        "agent": agent,
        "urgency": urgency,
        "wanted_urgent": urgency and URGENT[urgency],
        "thread_id": thread_id,
        "few": few,
        **read_cursor(cursor, _after_waiting, ("rank", "since", "id")),
    }
    asks = list_applying(
        {requests.OF_AGENT: agent is not None, requests.AS_URGENT: urgency is not None}
    )
    values["fitting"] = fitting = await _find_fitting(conn, asks, values) if asks else []
    are_few = len(fitting) < few
    if asks and not fitting:
        return Page([], None)
    rows, more = await _page(conn, WAITING, limit, values, {
        "r.thread_id = %(thread_id)s": thread_id is not None,
        THROUGH_QUESTIONS: bool(asks) and are_few,
        THROUGH_QUEUE: bool(asks) and not are_few,
        AS_URGENT_AT_LEAST: urgency is not None and not are_few,
        AFTER_WAITING: cursor is not None,
    })  # fmt: skip
    pending: dict[str, list[HitlRequest]] = {row["run_id"]: [] for row in rows}
    for row in await (await conn.execute(requests.PENDING_OF_RUNS, ([*pending],))).fetchall():
        with leaving_out(row["request_id"]):
            pending[row["run_id"]].append(requests.of_row(row))
    found: list[WaitingRun] = []
    for row in rows:
        with leaving_out(row["run_id"]):
            found.append(WaitingRun(runs.of_row(row), pending[row["run_id"]]))
    if not more:
        return Page(found, None)
    return Page(
        found,
        write_cursor(
            str(rows[-1]["pending_urgency"]),
            rows[-1]["pending_since"].isoformat(),
            rows[-1]["run_id"],
        ),
    )


async def _find_fitting(
    conn: Connection, asks: Sequence[LiteralString], values: Mapping[str, Any]
) -> list[str]:
    """Return runs with a question that is looked for: those of few questions at most."""
    rows = await conn.execute(FITTING.format(" AND ".join(asks)), values)
    return [row["run_id"] for row in await rows.fetchall()]


async def requests_in_order(
    conn: Connection, wanted: Wanted, limit: int, cursor: str | None
) -> Page[HitlRequest]:
    """Return requests of all runs: pending ones in the queue's order, then the newest."""
    after = read_cursor(cursor, _after_request, _REQUEST_KEYS)
    found: list[DictRow] = []
    if wanted.status in (None, RequestStatus.PENDING) and not after.get("is_over"):
        found += await _select_waiting(conn, wanted, limit + 1, after)
        after = {}  # of those that are over, the page has the first
    if wanted.status is not RequestStatus.PENDING and len(found) <= limit:
        found += await _select_over(conn, wanted, limit + 1 - len(found), after)
    page: list[HitlRequest] = []
    for row in found[:limit]:
        with leaving_out(row["request_id"]):
            page.append(requests.of_row(row))
    return Page(page, _point_at(found[limit - 1]) if len(found) > limit else None)


async def _select_waiting(
    conn: Connection, wanted: Wanted, limit: int, after: dict[str, Any]
) -> Sequence[DictRow]:
    conditions: dict[LiteralString, bool] = {
        **_choose(wanted),
        requests.AS_URGENT: wanted.urgency is not None,
        requests.AFTER_WAITING: bool(after),
    }
    urgent = {"wanted_urgent": wanted.urgency and URGENT[wanted.urgency]}
    values = {**wanted._asdict(), **urgent, **after}
    return await _select(conn, requests.WAITING, limit, values, conditions)


async def _select_over(
    conn: Connection, wanted: Wanted, limit: int, after: dict[str, Any]
) -> Sequence[DictRow]:
    conditions: dict[LiteralString, bool] = {
        **_choose(wanted),
        "r.urgency = %(urgency)s": wanted.urgency is not None,
        "r.status = 'resolved'": wanted.status is RequestStatus.RESOLVED,
        "r.status = 'denied'": wanted.status is RequestStatus.DENIED,
        requests.AFTER_OVER: bool(after),
    }
    return await _select(conn, requests.OVER, limit, {**wanted._asdict(), **after}, conditions)


def _choose(wanted: Wanted) -> dict[LiteralString, bool]:
    return {
        requests.OF_AGENT: wanted.agent is not None,
        requests.HAS_TEXT: wanted.text is not None,
        requests.BEGINS: wanted.prefix is not None,
    }


def _point_at(last: DictRow) -> str:
    """Return the cursor of the page after that request."""
    is_over = last["status"] != RequestStatus.PENDING
    urgent = 0 if is_over else URGENT.get(last["urgency"], 0)
    at = last["created_at"].isoformat()
    return write_cursor(str(int(is_over)), str(urgent), at, last["request_id"])


async def count_pending(conn: Connection) -> QueueCounts:
    """Count the pending requests of all runs."""
    rows = await (await conn.execute(requests.COUNTS)).fetchall()
    by_agent = dict[str, int]()
    by_urgency = dict.fromkeys(Urgency, 0)
    for row in rows:
        agent, urgency = row["origin_agent"], Urgency(row["urgency"])
        by_agent[agent] = by_agent.get(agent, 0) + row["number"]
        by_urgency[urgency] += row["number"]
    return QueueCounts(
        pending=sum(by_urgency.values()),
        high=by_urgency[Urgency.HIGH],
        oldestAt=rows[0]["oldest_at"] if rows else None,
        byAgent=by_agent,
        byUrgency=by_urgency,
    )


async def _page(
    conn: Connection,
    query: sql.SQL,
    limit: int,
    values: dict[str, Any],
    conditions: dict[LiteralString, bool],
) -> tuple[Sequence[DictRow], bool]:
    """Return the rows of the page, and whether there are more.

    `conditions`: which of them apply.
    """
    rows = await _select(conn, query, limit + 1, values, conditions)
    return rows[:limit], len(rows) > limit


async def _select(
    conn: Connection,
    query: sql.SQL,
    limit: int,
    values: dict[str, Any],
    conditions: dict[LiteralString, bool],
) -> Sequence[DictRow]:
    """Return so many rows at most. `conditions`: which of them apply."""
    where = sql.SQL(" AND ".join(["true", *list_applying(conditions)]))
    values = {**values, "limit": limit}
    return await (await conn.execute(query.format(where), values)).fetchall()


def list_applying(conditions: Mapping[LiteralString, bool]) -> list[LiteralString]:
    return [condition for condition, applies in conditions.items() if applies]


@contextmanager
def leaving_out(name: str) -> Generator[None]:
    """Leave out a row that only a newer program can read: the others are listed all the same."""
    try:
        yield
    except Unreadable as error:
        _log.warning("%s is left out of a list: %s", name, error.detail)


def write_cursor(*values: str) -> str:
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


def read_cursor(
    cursor: str | None, adapter: TypeAdapter[C], names: Sequence[str]
) -> dict[str, Any]:
    if cursor is None:
        return {}
    try:
        values = adapter.validate_json(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except ValueError as error:
        raise Invalid("`cursor` is not one that this server gave.") from error
    return dict(zip(names, values, strict=True))
