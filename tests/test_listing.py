"""Lists are read by their indexes, in their order: not the whole table, not sorted."""

from typing import LiteralString

import pytest
from psycopg import AsyncConnection, sql
from pydantic import JsonValue

from hitl_orchestrator.checkpoints import listing, requests, retention, threads
from hitl_orchestrator.checkpoints.pool import connection, connection_pool
from hitl_orchestrator.domain.hitl import NOBODY
from hitl_orchestrator.domain.ports import RunRef, WantedThreads
from hitl_orchestrator.domain.records import JsonObject
from hitl_orchestrator.domain.run import NewRun, RunStatus
from hitl_orchestrator.server.orchestrator import Orchestrator
from hitl_orchestrator.server.settings import Settings
from tests.processes import AGENTS

# The tables are empty, and any way to read them is as good: the others are forbidden.
ONLY_INDEXES = "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off"


@pytest.mark.parametrize(
    ("query", "after", "index"),
    [
        (requests.WAITING, requests.AFTER_WAITING, "hitl_requests_waiting"),
        (requests.OVER, requests.AFTER_OVER, "hitl_requests_over"),
        (listing.WAITING, listing.AFTER_WAITING, "orchestrator_runs_in_queue"),
    ],
)
async def test_a_page_is_read_from_its_index(
    up_to_date: str, query: sql.SQL, after: LiteralString, index: str
) -> None:
    plan = await explain(up_to_date, query.format(sql.SQL(after)))
    assert f"using {index} on " in plan
    assert "Index Cond: (ROW(" in plan, "a page begins where the one before it ended"
    assert "Sort" not in plan


@pytest.mark.parametrize(
    ("query", "wanted", "index"),
    [
        (requests.WAITING, requests.OF_AGENT, "hitl_requests_waiting_of_agent"),
        (requests.WAITING, requests.AS_URGENT, "hitl_requests_waiting"),
        (requests.OVER, requests.OF_AGENT, "hitl_requests_over_of_agent"),
        (requests.OVER, "r.status = 'denied'", "hitl_requests_denied"),
        (requests.OVER, "r.urgency = %(urgency)s", "hitl_requests_over_of_urgency"),
        (sql.SQL(listing.FITTING), requests.OF_AGENT, "hitl_requests_waiting_of_agent"),
        (sql.SQL(listing.FITTING), requests.AS_URGENT, "hitl_requests_waiting"),
        (sql.SQL(retention.ENDED), "", "orchestrator_runs_ended"),
        (sql.SQL(retention.WITH_HISTORY), "", "orchestrator_runs_with_history"),
    ],
)
async def test_few_are_found_among_many_by_an_index(
    up_to_date: str, query: sql.SQL, wanted: LiteralString, index: str
) -> None:
    plan = await explain(up_to_date, query.format(sql.SQL(wanted)))
    assert f"using {index} on " in plan
    assert "Sort" not in plan


async def test_threads_are_read_from_the_indexes_of_runs_and_questions(up_to_date: str) -> None:
    nothing, true = sql.SQL(""), sql.SQL("true")
    runs = threads.RUNS.format(noted=nothing, source=sql.SQL("orchestrator_runs"), wanted=true)
    questions = threads.QUESTIONS.format(
        noted=nothing,
        source=sql.SQL("hitl_requests"),
        waiting=sql.SQL(requests.AS_URGENT),
        over=sql.SQL(threads.OF_THREAD),
    )
    of_runs = ("by_status", "by_thread", "one_active_a_thread")
    for query, indexes in (
        (runs, [f"orchestrator_runs_{name}" for name in of_runs]),
        (questions, ["hitl_requests_waiting", "orchestrator_runs_by_thread"]),
    ):
        plan = await explain(up_to_date, query)
        assert "Seq Scan" not in plan
        for index in indexes:
            assert f"using {index} on " in plan


@pytest.fixture
async def up_to_date(database_url: str) -> str:
    settings = Settings(database_url=database_url, agents=(str(AGENTS / "asks.py:agent"),))
    async with Orchestrator.open(settings):
        return database_url


async def explain(database_url: str, query: sql.Composed) -> str:
    at = "2026-01-01T00:00:00Z"
    values = {"urgent": -1, "at": at, "request_id": "r", "rank": 1, "since": at, "id": "r"}
    values |= {"limit": 51, "few": 9, "agent": "a", "wanted_urgent": -1, "older_than": "30 days"}
    values |= {
        "statuses": ["failed"],
        "waiting": True,
        "urgency": "low",
        "thread_id": "t",
        "over": True,
        "offset": 0,
        "most": 9,
    }
    async with await AsyncConnection.connect(database_url) as conn:
        await conn.execute(ONLY_INDEXES)
        explained = await conn.execute(sql.SQL("EXPLAIN ") + query, values)
        return "\n".join([row[0] for row in await explained.fetchall()])


WANTED: list[tuple[str | None, str | None, list[str]]] = [
    (None, "high", ["high", "both"]),
    (None, "normal", ["both", "normal", "always"]),
    ("asks.always", None, ["both", "always"]),
    ("asks", "low", ["low"]),
    ("asks.always", "high", []),
    ("nobody", None, []),
]


@pytest.mark.slow
async def test_runs_with_a_question_that_is_looked_for_are_found_both_ways(
    database_url: str,
) -> None:
    agents = tuple(f"{AGENTS / 'asks.py'}:{name}" for name in ("agent", "asking"))
    async with Orchestrator.open(Settings(database_url=database_url, agents=agents)) as hitl:
        for name, urgency, outputs in (
            ("low", "low", ("answer",)),
            ("high", "high", ("answer",)),
            ("normal", "normal", ("answer",)),
            ("both", "high", ("answer", "asked")),
            ("always", "low", ("asked",)),
        ):
            question: JsonValue = {"question": "What now?", "kind": "freeform", "urgency": urgency}
            new = NewRun(objective=name, inputs={"question": question}, outputs=outputs)
            await hitl.start(new, wait_seconds=30)
    pool = connection_pool(database_url, max_size=1)
    async with pool, connection(pool) as conn:
        for agent, urgency, names in WANTED:
            for few in (1, listing.AT_MOST_FEW):
                found = list[str]()
                cursor: str | None = ""
                while cursor is not None:
                    page = await listing.waiting(
                        conn, agent, urgency, None, 1, cursor or None, few=few
                    )
                    found += [run.settings.objective for run, _ in page.rows]
                    cursor = page.next_cursor
                assert found == names, (agent, urgency, few)


NOTED: JsonObject = {"batch": 1}
RETRIED = """UPDATE orchestrator_runs SET created_at = created_at - interval '1 day'
    WHERE thread_id = 'two' AND status = 'awaiting_hitl'"""
THREADS: list[tuple[WantedThreads, list[str], list[str]]] = [
    (WantedThreads(), ["other", "urgent", "new"], ["urgent", "new", "other", "old"]),
    (WantedThreads(metadata=NOTED), ["urgent", "new"], ["urgent", "new", "old"]),
    (WantedThreads(metadata={"batch": 2}), [], []),
    (WantedThreads(metadata=NOTED, urgency="high"), ["urgent", "new"], ["urgent"]),
    (WantedThreads(metadata=NOTED, urgency="none"), ["urgent", "new"], []),
    (WantedThreads(metadata=NOTED, thread_id="two"), ["new"], ["new", "old"]),
    (WantedThreads((RunStatus.COMPLETED,), waiting=False, metadata=NOTED), [], ["old"]),
]


async def test_threads_and_questions_are_found_both_ways(database_url: str) -> None:
    """Through the few that fit, and through all in their order.

    A run that has not ended is its thread's, also where it was retried behind a newer one.
    """
    settings = Settings(database_url=database_url, agents=(f"{AGENTS / 'asks.py'}:agent",))
    async with Orchestrator.open(settings) as hitl:
        for name, thread_id, metadata, urgency in (
            ("old", "two", NOTED, "normal"),
            ("new", "two", NOTED, "normal"),
            ("urgent", "one", NOTED, "high"),
            ("other", "three", {}, "normal"),
        ):
            question: JsonValue = {"question": "?", "kind": "freeform", "urgency": urgency}
            new = NewRun(
                objective=name,
                inputs={"question": question},
                outputs=("answer",),
                threadId=thread_id,
                metadata=metadata,
            )
            done = await hitl.start(new, wait_seconds=30)
            if name == "old":
                (asked,) = done.run.requests
                await hitl.deny(RunRef(done.run.runId), asked.requestId, "no", NOBODY, None, 30)
    pool = connection_pool(database_url, max_size=1)
    async with pool, connection(pool) as conn:
        await conn.execute(RETRIED)
        for wanted, of_runs, of_questions in THREADS:
            for few in (1, threads.AT_MOST_FEW):
                runs = await threads.list_threads(conn, wanted, 0, 9, few)
                assert [run.objective for run in runs] == of_runs, (wanted, few)
                asked = await threads.list_questions(conn, wanted, 0, 9, few)
                assert [run.objective for run, _ in asked] == of_questions, (wanted, few)
            assert await threads.count_threads(conn, wanted) == len(of_runs)
            assert await threads.count_questions(conn, wanted) == len(of_questions)
