"""Short rows of long lists: what is in a row, in which order, and what it costs."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, LiteralString, NamedTuple

import pytest
from psycopg import AsyncConnection, sql
from pydantic import JsonValue

from hitl_orchestrator.checkpoints import requests, summaries
from hitl_orchestrator.checkpoints.pool import connection_pool
from hitl_orchestrator.domain.errors import Invalid, NotFound
from hitl_orchestrator.domain.hitl import By, HitlRequest, HitlResponse, Person, Urgency
from hitl_orchestrator.domain.ports import Page, RunRef
from hitl_orchestrator.domain.run import NewRun, Run, RunStatus
from hitl_orchestrator.domain.summaries import QueuedQuestion
from hitl_orchestrator.server.orchestrator import Orchestrator
from hitl_orchestrator.server.settings import Settings
from tests.processes import AGENTS
from tests.statements import statements

AGENTS_HERE = (
    *(f"{AGENTS / 'asks.py'}:{name}" for name in ("agent", "asking")),
    f"{AGENTS / 'parallel.py'}:agent",
)
ADA, GRACE = (
    By(Person(id="ada", displayName="Ada Lovelace")),
    By(Person(id="grace", displayName="Grace Hopper")),
)
AT_ONCE = "UPDATE hitl_requests SET created_at = '2026-01-01Z'"
FORGE = """ALTER TABLE audit_entries DISABLE TRIGGER USER;
    UPDATE audit_entries SET body = body || ' ' WHERE seq = 1"""
# What a server has asked and was answered once, 10,000 times more.
COPY_RUN = """INSERT INTO orchestrator_runs SELECT copy.* FROM orchestrator_runs r,
    generate_series(1, 10000) AS n, jsonb_populate_record(r, jsonb_build_object(
    'run_id', 'run ' || n, 'thread_id', 'thread ' || n,
    'created_at', r.created_at - n * interval '1 second')) AS copy
    WHERE r.status = 'completed'"""
COPY_REQUESTS = """INSERT INTO hitl_requests SELECT copy.* FROM hitl_requests r,
    generate_series(1, 10000) AS n, jsonb_populate_record(r, jsonb_build_object(
    'request_id', r.status || n, 'run_id', 'run ' || n,
    'position', CASE r.status WHEN 'pending' THEN 0 ELSE 1 END,
    'urgency', (ARRAY['low', 'normal', 'high'])[1 + n % 3], 'origin_agent', 'agent ' || n % 5,
    'resolved_at', r.resolved_at - n * interval '1 second',
    'created_at', r.created_at - n * interval '1 second')) AS copy"""


@pytest.fixture
async def hitl(database_url: str) -> AsyncGenerator[Orchestrator]:
    settings = Settings(database_url=database_url, agents=AGENTS_HERE)
    async with Orchestrator.open(settings) as opened:
        yield opened


async def ask(hitl: Orchestrator, objective: str = "Announce it", **question: Any) -> HitlRequest:
    asked: dict[str, JsonValue] = {"question": objective, "kind": "freeform", **question}
    new = NewRun(objective=objective, inputs={"question": asked}, outputs=("answer",))
    (request,) = (await hitl.start(new, wait_seconds=30)).run.requests
    return request


async def ask_three(hitl: Orchestrator) -> Run:
    return (await hitl.start(NewRun(objective="o", outputs=("survey",)), wait_seconds=30)).run


async def answer(
    hitl: Orchestrator, request: HitlRequest, by: By = ADA, **given: Any
) -> HitlRequest:
    response = HitlResponse.read({"requestId": request.requestId, **given})
    ref = RunRef(request.runId)
    await hitl.answer(ref, request.requestId, [response], by, wait_seconds=30)
    return request


async def answer_text(hitl: Orchestrator, request: HitlRequest, by: By = ADA) -> HitlRequest:
    return await answer(hitl, request, by, responseType="freeform", freeformText="x")


async def execute(database_url: str, statement: LiteralString) -> None:
    async with await AsyncConnection.connect(database_url, autocommit=True) as conn:
        await conn.execute(statement)


async def list_all(read: Callable[[str | None], Awaitable[Page[QueuedQuestion]]]) -> list[str]:
    page = await read(None)
    found = [row.request_id for row in page.rows]
    while page.next_cursor:
        page = await read(page.next_cursor)
        found += [row.request_id for row in page.rows]
    return found


# In which order


async def test_the_most_urgent_come_first_then_the_oldest(hitl: Orchestrator) -> None:
    for name in ("low", "normal", "high"):
        for number in (1, 2):
            await ask(hitl, f"{name} {number}", urgency=name)
    page = await hitl.summaries.queue()
    found = [row.question for row in page.rows]
    assert found == ["high 1", "high 2", "normal 1", "normal 2", "low 1", "low 2"]
    assert page.next_cursor is None


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
async def test_pages_have_each_question_once_where_all_were_asked_at_once(
    hitl: Orchestrator, database_url: str, limit: int
) -> None:
    low = [(await ask(hitl, urgency="low")).requestId for _ in range(3)]
    high = [(await ask(hitl, urgency="high")).requestId for _ in range(3)]
    await execute(database_url, AT_ONCE)
    found = await list_all(lambda cursor: hitl.summaries.queue(limit=limit, cursor=cursor))
    assert found == sorted(high) + sorted(low)


async def test_pages_neither_skip_nor_repeat_while_questions_come_and_go(
    hitl: Orchestrator,
) -> None:
    asked = [await ask(hitl, f"{number}") for number in range(5)]
    first = await hitl.summaries.queue(limit=2)
    await answer_text(hitl, asked[1])  # where the next page begins
    await ask(hitl, "above", urgency="high")
    await ask(hitl, "below", urgency="low")
    await answer_text(hitl, asked[3])
    second = await hitl.summaries.queue(limit=2, cursor=first.next_cursor)
    third = await hitl.summaries.queue(limit=2, cursor=second.next_cursor)
    for page, questions in ((first, ["0", "1"]), (second, ["2", "4"]), (third, ["below"])):
        assert [row.question for row in page.rows] == questions


async def test_questions_of_one_run_stand_in_its_order_everywhere(hitl: Orchestrator) -> None:
    for _ in range(3):  # ids are random: once, they might be in order
        run = await ask_three(hitl)
        in_order = [request.requestId for request in run.requests]
        queued = [row for row in (await hitl.summaries.queue()).rows if row.run_id == run.runId]
        assert [row.request_id for row in queued] == in_order
        assert [(row.nth, row.of) for row in queued] == [(1, 3), (2, 3), (3, 3)]
        listed = [one for one in (await hitl.requests()).rows if one.runId == run.runId]
        assert [one.requestId for one in listed] == in_order
        assert len({row.created_at for row in queued}) == 3


async def test_a_place_is_one_among_those_that_still_wait(hitl: Orchestrator) -> None:
    run = await ask_three(hitl)
    await answer_text(hitl, run.requests[0])
    rows = (await hitl.summaries.queue()).rows
    assert [(row.question, row.nth, row.of) for row in rows] == [("When?", 1, 2), ("Who?", 2, 2)]
    assert {(row.agent, row.agent_label) for row in rows} == {("surveys.three", "Surveyor")}


async def test_a_cursor_of_somebody_else_is_refused(hitl: Orchestrator) -> None:
    for read in (hitl.summaries.queue, hitl.summaries.ended, hitl.summaries.runs):
        with pytest.raises(Invalid, match="cursor"):
            await read(cursor="WyJubyJd")


# What is in a row


async def test_a_row_is_short_whatever_was_asked(hitl: Orchestrator) -> None:
    request = await ask(hitl, question="ä" * 400, kind="approval", expiresInSeconds=60)
    (row,) = (await hitl.summaries.queue()).rows
    assert row.question == "ä" * 300
    assert (row.kind, row.urgency, row.agent, row.agent_label) == (
        request.kind,
        request.urgency,
        "asks",
        "Asker",
    )
    assert (row.created_at, row.expires_at) == (request.createdAt, request.expiresAt)
    assert row.arguments is None


ARGUMENTS: list[tuple[str, dict[str, JsonValue], str | None]] = [
    ("Run send?", {"to": "all", "n": 3}, "to: all, n: 3"),
    ("Run send?", {}, None),
    ("Tell them?", {"to": "all"}, None),
    ("send", {"z": 1.5, "a": None, "e": "", "t": True}, "z: 1.5, a: null, e: , t: true"),
    ("send", {"list": [1, {"a": "b"}]}, 'list: [1,{"a":"b"}]'),
    ("send", {"x": "y" * 40, "z": "y" * 41}, f"x: {'y' * 40}, z: {'y' * 40}"),
    ("send", dict.fromkeys("abcdef", 1), "a: 1, b: 1, c: 1, d: 1, e: 1"),
    ("send", dict.fromkeys("abcde", "y" * 40), f"a: {'y' * 40}, b: {'y' * 40}, c: {'y' * 40}, d: "),
    ("send", {"%s '": 'quo"te\\ %(x)s'}, "%s ': quo\"te\\ %(x)s"),
]


@pytest.mark.parametrize(("question", "arguments", "shown"), ARGUMENTS)
async def test_arguments_are_told_where_the_question_only_names_the_action(
    hitl: Orchestrator, question: str, arguments: dict[str, JsonValue], shown: str | None
) -> None:
    action: JsonValue = {"name": "send", "arguments": arguments}
    await ask(hitl, question=question, kind="approval", action=action)
    (row,) = (await hitl.summaries.queue()).rows
    if shown is None or row.arguments is None:
        assert row.arguments == shown
    else:
        assert row.arguments.startswith(shown)
        assert len(row.arguments) <= 160


# Which are looked for


class Filter(NamedTuple):
    agent: str | None = None
    urgency: Urgency | None = None
    text: str | None = None


FILTERS: list[tuple[Filter, list[str]]] = [
    (Filter(), ["high", "normal", "low"]),
    (Filter(agent="asks.always"), []),
    (Filter(agent="asks"), ["high", "normal", "low"]),
    (Filter(urgency=Urgency.LOW), ["low"]),
    (Filter(urgency=Urgency.NORMAL, agent="asks", text="tuesday"), ["normal"]),
    (Filter(urgency=Urgency.LOW, text="tuesday"), []),
    (Filter(text="ASKER Asks"), ["high", "normal", "low"]),  # the agent's label and id
    (Filter(text="50%"), ["low"]),
    (Filter(text="%"), ["low"]),
    (Filter(text="_"), ["high"]),  # of the action's name
    (Filter(text="SEND_mail"), ["high"]),
    (Filter(text='o\'clock "noon"'), ["normal"]),
    (Filter(text="noon tuesday clock"), ["normal"]),  # of the context, and of the objective
    (Filter(text="noon wednesday"), []),
    (Filter(text="back\\slash"), ["low"]),
    (Filter(text="  "), ["high", "normal", "low"]),
    (Filter(text="ÜBER"), ["low"]),
]


async def test_filters_find_plain_words_wherever_they_stand(hitl: Orchestrator) -> None:
    action: JsonValue = {"name": "send_mail", "arguments": {"to": "all"}}
    await ask(hitl, "low", question="Grant 50% über C:\\back\\slash?", urgency="low")
    await ask(hitl, "normal On Tuesday", question="When?", additionalContext='o\'clock "NOON"')
    await ask(hitl, "high", question="Go?", urgency="high", kind="approval", action=action)
    for wanted, names in FILTERS:
        found = [row.urgency for row in (await hitl.summaries.queue(*wanted)).rows]
        assert found == names, wanted
        assert await list_all(
            lambda cursor, wanted=wanted: hitl.summaries.queue(*wanted, limit=1, cursor=cursor)
        ) == [row.request_id for row in (await hitl.summaries.queue(*wanted)).rows]


# Which comes next


async def test_what_comes_next(hitl: Orchestrator) -> None:
    names = {"a": "normal", "b": "normal", "c": "normal", "d": "low"}
    ids = {name: (await ask(hitl, name, urgency=names[name])).requestId for name in names}

    async def find(after: str, without: Sequence[str] = (), **more: Any) -> str | None:
        left_out = [ids[name] for name in without]
        found = await hitl.summaries.find_next(ids.get(after, after), without=left_out, **more)
        return next((name for name in ids if ids[name] == found), None)

    assert await find("a") == "b"
    assert await find("c") == "d"
    assert await find("d") == "a", "none is below: the first"
    assert await find("unknown") == "a"
    assert await find("a", without="bc") == "d"
    assert await find("a", without="bcd") is None, "what is done is not what comes next"
    assert await find("a", text="d") == "d"
    assert await find("a", text="b c") is None
    assert await find("c", urgency=Urgency.NORMAL) == "a"
    assert await find("a", agent="nobody") is None
    asked = await hitl.request(ids["b"])
    await hitl.deny(RunRef(asked.runId), asked.requestId, "no", ADA)
    assert await find("b") == "c", "its place is known when it is decided, too"
    for name in ("e", "f"):
        ids[name] = (await ask(hitl, name, urgency="high")).requestId
    assert await find("b", shown_ms=60_000) == "e", "a newly arrived urgent one"
    assert await find("b", without="e", shown_ms=60_000) == "f"
    assert await find("b", shown_ms=1) == "c", "one that waited before was passed by"
    assert await find("e", shown_ms=60_000) == "f"
    assert await find("f", shown_ms=60_000) == "a", "after an urgent one the one below"
    assert await find("b", urgency=Urgency.NORMAL, shown_ms=60_000) == "c"


# What was decided


async def test_what_was_decided_is_listed_with_who_and_how(
    hitl: Orchestrator, database_url: str
) -> None:
    action: JsonValue = {"name": "send", "arguments": {"to": "all"}}
    options: JsonValue = [{"id": "w", "label": "Warm"}, {"id": "d", "label": "Dry"}]
    free = await ask(hitl, "free")
    await answer(hitl, free, responseType="freeform", freeformText="y" * 300)
    choice = await ask(hitl, "choice", kind="choice", options=options)
    await answer(hitl, choice, GRACE, responseType="option", selectedOptionId="d")
    approved = await ask(hitl, "approved", kind="approval", action=action)
    await answer(hitl, approved, responseType="approval", approved=True)
    edited = await ask(hitl, "edited", kind="approval", action=action)
    me = {"to": "me"}
    await answer(hitl, edited, responseType="approval", approved=True, editedArguments=me)
    rejected = await ask(hitl, "rejected", kind="approval")
    await answer(hitl, rejected, GRACE, responseType="rejection", freeformText="Too early.")
    denied = await ask(hitl, "denied")
    await hitl.deny(RunRef(denied.runId), denied.requestId, "Not now.", ADA)
    removed = await ask(hitl, "removed")
    await hitl.remove(RunRef(removed.runId), removed.requestId, "Stop.", ADA)
    await ask(hitl, "pending")
    new = NewRun(
        objective="refused",
        inputs={"question": {"question": "refused", "kind": "freeform"}},
        outputs=("answer",),
        maxHitlRequests=0,
    )
    await hitl.start(new, wait_seconds=30)

    rows = (await hitl.summaries.ended()).rows
    assert [
        (row.question, row.status, row.response_type, row.said, row.denial_reason) for row in rows
    ] == [
        ("removed", "denied", None, None, "Stop."),
        ("denied", "denied", None, None, "Not now."),
        ("rejected", "resolved", "rejection", "Too early.", None),
        ("edited", "resolved", "approval", None, None),
        ("approved", "resolved", "approval", None, None),
        ("choice", "resolved", "option", "Dry", None),
        ("free", "resolved", "freeform", "y" * 200, None),
    ]
    assert [row.question for row in rows if row.is_edited] == ["edited"]
    assert [row.by and row.by.displayName for row in rows[1:3]] == ["Ada Lovelace", "Grace Hopper"]
    first = rows[-1]
    assert (first.request_id, first.run_id, first.agent_label) == (
        free.requestId,
        free.runId,
        "Asker",
    )
    assert first.delivered_at
    assert first.delivered_at >= first.at
    by_grace = await hitl.summaries.ended(by="grace")
    assert [row.question for row in by_grace.rows] == ["rejected", "choice"]
    first_page = await hitl.summaries.ended(limit=4)
    last_page = await hitl.summaries.ended(limit=4, cursor=first_page.next_cursor)
    assert first_page.rows + last_page.rows == rows
    assert last_page.next_cursor is None


async def test_what_expired_was_decided_by_nobody(hitl: Orchestrator) -> None:
    await ask(hitl, expiresInSeconds=0.1)
    async with asyncio.timeout(30):
        while not (rows := (await hitl.summaries.ended()).rows):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    assert [(row.by, row.status, row.said) for row in rows] == [(None, "denied", None)]
    assert rows[0].denial_reason


# Runs, and whether their audit trail is whole


async def test_runs_in_short(hitl: Orchestrator, database_url: str) -> None:
    asking = await ask(hitl, "Write 100% of it " + "x" * 400)
    survey = await ask_three(hitl)
    await answer_text(hitl, survey.requests[0])
    done = await answer_text(hitl, await ask(hitl, "Done"))
    rows = (await hitl.summaries.runs()).rows
    assert [(row.run_id, row.status, row.asked, row.pending, row.held) for row in rows] == [
        (done.runId, "completed", 1, 0, False),
        (survey.runId, "awaiting_hitl", 3, 2, False),
        (asking.runId, "awaiting_hitl", 1, 1, False),
    ]
    assert len(rows[-1].objective) == 300
    waiting = await hitl.summaries.runs(RunStatus.AWAITING_HITL, limit=1)
    assert waiting.rows == rows[1:2]
    rest = await hitl.summaries.runs(RunStatus.AWAITING_HITL, limit=1, cursor=waiting.next_cursor)
    assert (rest.rows, rest.next_cursor) == (rows[2:], None)
    for text, found in (
        ("100%", rows[2:]),
        ("OF write", rows[2:]),
        ("%", rows[2:]),
        ("write done", []),
        (survey.runId, rows[1:2]),
        (f" {survey.threadId} ", rows[1:2]),
        (survey.runId[:-1], []),
        (" ", rows),
    ):
        assert (await hitl.summaries.runs(text=text)).rows == found, text


async def test_a_chain_is_verified(hitl: Orchestrator, database_url: str) -> None:
    request = await ask(hitl)
    audit = (await hitl.run(request.runId)).metadata["auditLog"]
    assert isinstance(audit, list)
    assert await hitl.summaries.verify_audit(request.runId) == (len(audit), None)
    await execute(database_url, FORGE)
    assert await hitl.summaries.verify_audit(request.runId) == (len(audit), "entry 1 was altered")
    with pytest.raises(NotFound):
        await hitl.summaries.verify_audit("run_unknown")


# What it costs


PAYLOAD: dict[str, Any] = {"question": "Send?", "kind": "approval", "action": {"name": "send"}}
AFTER = {"urgent": -1, "at": datetime(2026, 1, 1, tzinfo=UTC), "request_id": "r", "id": "r"}
ANY = {"limit": 51, "agent": "agent 1", "wanted_urgent": -1, "words": ["send"], "text": "send"}
PLANS: list[tuple[sql.SQL, LiteralString, str]] = [
    (summaries.QUEUE, "true", "hitl_requests_waiting"),
    (summaries.QUEUE, requests.AFTER_WAITING, "hitl_requests_waiting"),
    (summaries.QUEUE, requests.OF_AGENT, "hitl_requests_waiting"),
    (summaries.QUEUE, requests.AS_URGENT, "hitl_requests_waiting"),
    (summaries.QUEUE, summaries.HAS_WORDS, "hitl_requests_waiting"),
    (sql.SQL(requests.COUNTS), "true", "hitl_requests_pending"),
    (summaries.ENDED, "true", "hitl_requests_ended"),
    (summaries.ENDED, summaries.BEFORE_ENDED, "hitl_requests_ended"),
    (summaries.ENDED, summaries.BY, "hitl_requests_ended_by"),
    (summaries.RUNS, "true", "orchestrator_runs_newest"),
    (summaries.RUNS, summaries.BEFORE_RUN, "orchestrator_runs_newest"),
    (summaries.RUNS, summaries.RUN_HAS_WORDS, "orchestrator_runs_newest"),
]


@pytest.fixture
async def ten_thousand(hitl: Orchestrator, database_url: str) -> str:
    """Ten thousand that wait, and as many that were decided."""
    await answer(hitl, await ask(hitl, **PAYLOAD), responseType="approval", approved=True)
    await ask(hitl, **PAYLOAD)
    for statement in (COPY_RUN, COPY_REQUESTS, "VACUUM ANALYZE"):
        await execute(database_url, statement)
    return database_url


@pytest.mark.slow
async def test_with_ten_thousand_a_page_is_read_in_the_order_of_an_index(
    ten_thousand: str,
) -> None:
    values = {**ANY, **AFTER, "by": "ada"}
    async with await AsyncConnection.connect(ten_thousand) as conn:
        for query, condition, index in PLANS:
            plan = await explain(conn, query.format(sql.SQL(condition)), values)
            assert f"using {index}" in plan, (condition, plan)
            assert "Sort Key: r." not in plan, (condition, plan)
            assert "Seq Scan on hitl_requests" not in plan, (condition, plan)
            assert "Seq Scan on orchestrator_runs" not in plan, (condition, plan)


async def explain(conn: AsyncConnection[Any], query: sql.Composed, values: dict[str, Any]) -> str:
    explained = await conn.execute(sql.SQL("EXPLAIN ") + query, values)
    return "\n".join([row[0] for row in await explained.fetchall()])


async def test_a_page_is_one_statement_and_no_payload_is_in_it(
    hitl: Orchestrator, database_url: str
) -> None:
    asked = await ask(hitl, question="Send?", additionalContext="secret " * 10_000)
    async with (
        statements(database_url) as counted,
        connection_pool(database_url, max_size=1) as pool,
        counted.asked() as sent,
    ):
        lists = summaries.Summaries(pool)
        queue = await lists.queue(text="secret")
        await lists.ended("ada")
        await lists.runs(text="announce")
    assert len(sent.statements) == 3
    assert [row.request_id for row in queue.rows] == [asked.requestId]
    assert len(str(queue.rows[0])) < 1000
