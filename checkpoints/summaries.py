"""Rows for pages that list many: cut in the database, so that no payload leaves it."""

from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any, LiteralString, NamedTuple

from psycopg import sql
from psycopg.rows import DictRow
from pydantic import AwareDatetime, Field, TypeAdapter

from hitl_orchestrator.checkpoints import audit, requests
from hitl_orchestrator.checkpoints.listing import URGENT, read_cursor, write_cursor
from hitl_orchestrator.checkpoints.pool import Connection, Pool, connection
from hitl_orchestrator.domain.errors import NotFound
from hitl_orchestrator.domain.hitl import (
    Kind,
    Person,
    RequestStatus,
    ResponseType,
    Urgency,
)
from hitl_orchestrator.domain.ports import Page
from hitl_orchestrator.domain.run import RunStatus
from hitl_orchestrator.domain.summaries import AuditVerdict, EndedQuestion, QueuedQuestion, RunRow

# All statements here are put together of constants.
# Of a question about an action that says no more than its name, the short arguments.
_ARGUMENTS: LiteralString = """CASE
    WHEN strpos(said.question, said.action->>'name') > 0 THEN (
        SELECT left(string_agg(a.key || ': ' || coalesce(left(a.value, 40), 'null'), ', '), 160)
        FROM (SELECT key, value FROM json_each_text(said.action->'arguments')
            LIMIT 5) AS a)
    END"""
# The places of all rows are found in one go: row by row a planner that has no statistics yet reads
# all that waits for each.
QUEUE = sql.SQL(
    "WITH page AS MATERIALIZED (SELECT * FROM hitl_requests r WHERE r.status = 'pending' AND {}"  # noqa: S608
    " ORDER BY " + requests.IN_ORDER + " LIMIT %(limit)s),"
    " places AS MATERIALIZED (SELECT q.request_id, count(*) OVER (PARTITION BY q.run_id) AS of,"
    " row_number() OVER (PARTITION BY q.run_id ORDER BY q.position) AS nth FROM hitl_requests q"
    " WHERE q.status = 'pending' AND q.run_id = ANY(ARRAY(SELECT run_id FROM page)))"
    " SELECT r.request_id, r.run_id, left(said.question, 300) AS question,"
    " said.kind, r.urgency, r.origin_agent AS agent,"
    " said.\"contractSummary\"->>'capabilityLabel' AS agent_label,"
    " " + _ARGUMENTS + " AS arguments, r.created_at, r.expires_at, places.nth, places.of"
    " FROM page r JOIN places USING (request_id), json_to_record(r.request)"
    ' AS said (question text, kind text, action json, "contractSummary" json)'
    " ORDER BY " + requests.IN_ORDER
)
# The next one in the same order, which begins anew after its end.
NEXT = sql.SQL(
    "SELECT r.request_id FROM hitl_requests r WHERE r.status = 'pending'"  # noqa: S608
    " AND NOT r.request_id = ANY(%(without)s) AND {} ORDER BY " + requests.IN_ORDER + " LIMIT 1"
)
WHERE_IT_STOOD: LiteralString = (
    "SELECT r.urgency, r.created_at FROM hitl_requests r WHERE r.request_id = %s"
)
# Each word of the search, as it is.
HAS_WORDS: LiteralString = """NOT EXISTS (SELECT FROM unnest(%(words)s::text[]) AS w (word)
    WHERE strpos(lower(concat_ws(chr(10), r.request->>'question', r.request->>'additionalContext',
        r.request->'action'->>'name', r.origin_agent,
        r.request->'contractSummary'->>'capabilityLabel',
        (SELECT o.settings->>'objective' FROM orchestrator_runs o WHERE o.run_id = r.run_id))),
        lower(w.word)) = 0)"""
ENDED = sql.SQL(
    """SELECT r.request_id, r.run_id, left(r.request->>'question', 300) AS question,
    r.request->>'kind' AS kind, r.request->'contractSummary'->>'capabilityLabel' AS agent_label,
    r.status, r.denial_reason, r.resolved_by, r.resolved_at, r.delivered_at,
    a.response->>'responseType' AS response_type, a.response->>'data' = 'false' AS is_no,
    a.response->'editedArguments' IS NOT NULL
        AND a.response->>'editedArguments' IS NOT NULL AS is_edited,
    left(coalesce((SELECT o->>'label' FROM json_array_elements(r.request->'options') AS o
            WHERE o->>'id' = a.response->>'selectedOptionId' LIMIT 1),
        a.response->>'freeformText'), 200) AS said
    FROM hitl_requests r LEFT JOIN LATERAL (SELECT response FROM hitl_responses a
        WHERE a.request_id = r.request_id
        ORDER BY response->>'responseType' = 'freeform', response_id LIMIT 1) AS a ON true
    WHERE r.resolved_at IS NOT NULL AND {}
    ORDER BY r.resolved_at DESC, r.request_id DESC LIMIT %(limit)s"""
)
RUNS = sql.SQL(
    """SELECT r.run_id, left(r.settings->>'objective', 300) AS objective, r.status,
    r.held IS NOT NULL AS held, r.request_count AS asked, r.created_at,
    (SELECT count(*) FROM hitl_requests q
        WHERE q.run_id = r.run_id AND q.status = 'pending') AS pending
    FROM orchestrator_runs r WHERE {}
    ORDER BY r.created_at DESC, r.run_id DESC LIMIT %(limit)s"""
)
RUN_HAS_WORDS: LiteralString = """(r.run_id = %(text)s OR r.thread_id = %(text)s
    OR NOT EXISTS (SELECT FROM unnest(%(words)s::text[]) AS w (word)
        WHERE strpos(lower(r.settings->>'objective'), lower(w.word)) = 0))"""

CAME_MEANWHILE = "r.created_at > now() - %(shown_ms)s * interval '1 millisecond'"
BY = "r.resolved_by->>'id' = %(by)s"
BEFORE_ENDED = "(r.resolved_at, r.request_id) < (%(at)s::timestamptz, %(request_id)s::text)"
BEFORE_RUN = "(r.created_at, r.run_id) < (%(at)s::timestamptz, %(id)s::text)"


class _Place(NamedTuple):
    """Where to look: the values of a statement, and which of its conditions apply."""

    values: Mapping[str, Any]
    conditions: Mapping[LiteralString, bool]


_after_queued = TypeAdapter(tuple[Annotated[int, Field(ge=-2, le=0)], AwareDatetime, str])
_after_time = TypeAdapter(tuple[AwareDatetime, str])


class Summaries:
    """Lists of what there is, for people. Each is one statement a page."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def queue(
        self,
        agent: str | None = None,
        urgency: Urgency | None = None,
        text: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[QueuedQuestion]:
        """Return what waits: most urgent first, then oldest, those of a run in its order.

        `text`: words that all stand in question, context, agent, action or objective. Raise
        Invalid: a cursor that is none of ours.
        """
        after = read_cursor(cursor, _after_queued, ("urgent", "at", "request_id"))
        values = {**_choose(agent, urgency, text), **after, "limit": limit + 1}
        conditions: dict[LiteralString, bool] = {
            **_list_conditions(agent, urgency, text),
            requests.AFTER_WAITING: bool(after),
        }
        async with connection(self._pool) as conn:
            rows = await _select(conn, QUEUE, values, conditions)
        found = [_read_queued(row) for row in rows[:limit]]
        return Page(found, _point_at(found[-1]) if len(rows) > limit else None)

    async def find_next(
        self,
        after: str,
        agent: str | None = None,
        urgency: Urgency | None = None,
        text: str | None = None,
        without: Collection[str] = (),
        shown_ms: int = 0,
    ) -> str | None:
        """Return the question that comes after one that is over; at the end the first one.

        An urgent one that came while that one was shown, for `shown_ms`, is first. None: nothing
        waits.
        """
        conditions = _list_conditions(agent, urgency, text)
        values = {**_choose(agent, urgency, text), "without": [*without, after]}
        places = [_Place(values, conditions)]
        async with connection(self._pool) as conn:
            stood = await (await conn.execute(WHERE_IT_STOOD, (after,))).fetchone()
            if stood is not None:
                it = {"urgent": URGENT[stood["urgency"]], "at": stood["created_at"]}
                behind = {**values, **it, "request_id": after}
                places.insert(0, _Place(behind, {**conditions, requests.AFTER_WAITING: True}))
            if urgency is None and (stood is None or stood["urgency"] != Urgency.HIGH):
                high = values | {"wanted_urgent": URGENT[Urgency.HIGH], "shown_ms": shown_ms}
                places.insert(
                    0, _Place(high, {**conditions, requests.AS_URGENT: True, CAME_MEANWHILE: True})
                )
            for place in places:
                if found := await _select(conn, NEXT, *place):
                    return found[0]["request_id"]
        return None

    async def ended(
        self, by: str | None = None, limit: int = 50, cursor: str | None = None
    ) -> Page[EndedQuestion]:
        """Return what people and the clock ended, the newest first. `by`: an operator's id."""
        after = read_cursor(cursor, _after_time, ("at", "request_id"))
        values = {"by": by, **after, "limit": limit + 1}
        conditions: dict[LiteralString, bool] = {BY: by is not None, BEFORE_ENDED: bool(after)}
        async with connection(self._pool) as conn:
            rows = await _select(conn, ENDED, values, conditions)
        found = [_read_ended(row) for row in rows[:limit]]
        more = len(rows) > limit
        return Page(
            found, write_cursor(found[-1].at.isoformat(), found[-1].request_id) if more else None
        )

    async def runs(
        self,
        status: RunStatus | None = None,
        text: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[RunRow]:
        """Return runs, newest first. `text`: words of the objective, or an id of run or thread."""
        after = read_cursor(cursor, _after_time, ("at", "id"))
        words = {"text": text and text.strip(), "words": (text or "").split()}
        values = {"status": status, **words, **after, "limit": limit + 1}
        conditions: dict[LiteralString, bool] = {
            "r.status = %(status)s": status is not None,
            RUN_HAS_WORDS: bool(text),
            BEFORE_RUN: bool(after),
        }
        async with connection(self._pool) as conn:
            rows = await _select(conn, RUNS, values, conditions)
        found = [_read_run(row) for row in rows[:limit]]
        last = found[-1] if len(rows) > limit else None
        return Page(found, last and write_cursor(last.created_at.isoformat(), last.run_id))

    async def verify_audit(self, run_id: str) -> AuditVerdict:
        """Verify the chain of a run's audit. Raise NotFound."""
        async with connection(self._pool) as conn:
            async for _, entries, broken in audit.verify(conn, run_id):
                return AuditVerdict(entries, broken)
        raise NotFound(f"There is no run {run_id}.")


def _choose(agent: str | None, urgency: Urgency | None, text: str | None) -> dict[str, Any]:
    urgent = urgency and URGENT[urgency]
    return {"agent": agent, "wanted_urgent": urgent, "words": (text or "").split()}


def _list_conditions(
    agent: str | None, urgency: Urgency | None, text: str | None
) -> dict[LiteralString, bool]:
    return {
        requests.OF_AGENT: agent is not None,
        requests.AS_URGENT: urgency is not None,
        HAS_WORDS: bool(text),
    }


async def _select(
    conn: Connection,
    query: sql.SQL,
    values: Mapping[str, Any],
    conditions: Mapping[LiteralString, bool],
) -> Sequence[DictRow]:
    """`conditions`: which of them apply."""
    applying: list[LiteralString] = [one for one, applies in conditions.items() if applies]
    where = sql.SQL(" AND ".join(["true", *applying]))
    return await (await conn.execute(query.format(where), values)).fetchall()


def _read_queued(row: DictRow) -> QueuedQuestion:
    kind, urgency = Kind(row["kind"]), Urgency(row["urgency"])
    return QueuedQuestion(**row)._replace(kind=kind, urgency=urgency)


def _read_run(row: DictRow) -> RunRow:
    return RunRow(**row)._replace(status=RunStatus(row["status"]))


def _read_ended(row: DictRow) -> EndedQuestion:
    type_ = row["response_type"]
    return EndedQuestion(
        request_id=row["request_id"],
        run_id=row["run_id"],
        question=row["question"],
        kind=Kind(row["kind"]),
        agent_label=row["agent_label"],
        status=RequestStatus(row["status"]),
        denial_reason=row["denial_reason"],
        response_type=ResponseType(type_) if type_ else None,
        said=row["said"],
        is_edited=bool(row["is_edited"]),
        is_no=bool(row["is_no"]),
        by=row["resolved_by"] and Person.read(row["resolved_by"]),
        at=row["resolved_at"],
        delivered_at=row["delivered_at"],
    )


def _point_at(last: QueuedQuestion) -> str:
    return write_cursor(str(URGENT[last.urgency]), last.created_at.isoformat(), last.request_id)
