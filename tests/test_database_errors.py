"""Errors of the database that are no errors of a run: it is dropped, and tried again."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from psycopg import AsyncConnection, sql
from psycopg.errors import DivisionByZero, UndefinedTable

from hitl_orchestrator.checkpoints.pool import connection, connection_pool
from hitl_orchestrator.domain.errors import StoreUnavailable
from hitl_orchestrator.domain.hitl import NOBODY, HitlResponse, ResponseType
from hitl_orchestrator.domain.ports import RunRef
from hitl_orchestrator.domain.run import NewRun, Run
from hitl_orchestrator.server.orchestrator import Orchestrator
from hitl_orchestrator.server.settings import Settings
from tests.processes import AGENTS

USES_UNTIL_PREPARED = 8
TABLES = (
    "orchestrator_runs",
    "hitl_requests",
    "hitl_responses",
    "audit_entries",
    "run_events",
    "hitl_processes",
    "idempotency_keys",
    "checkpoints",
    "checkpoint_blobs",
    "checkpoint_writes",
)
NO_ERRORS_OF_A_RUN = ["25006", "25P03", "26000", "0A000", "42P05", "XX000", "40001", "57P01"]
RAISE = "DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{}'; END $$"


@pytest.fixture
async def hitl(database_url: str) -> AsyncGenerator[Orchestrator]:
    settings = Settings(database_url=database_url, agents=(str(AGENTS / "asks.py:agent"),))
    async with Orchestrator.open(settings) as opened:
        yield opened


@pytest.fixture
async def admin(database_url: str) -> AsyncGenerator[AsyncConnection]:
    async with await AsyncConnection.connect(database_url, autocommit=True) as conn:
        yield conn


async def pause(hitl: Orchestrator) -> Run:
    question: Any = {"question": "What now?", "kind": "freeform"}
    new = NewRun(objective="Ask", inputs={"question": question}, outputs=("answer",))
    run = (await hitl.start(new, wait_seconds=60)).run
    assert run.status == "awaiting_hitl", run
    return run


async def answer(hitl: Orchestrator, run: Run, wait_seconds: float = 60) -> Run:
    response = HitlResponse(
        requestId=run.pendingRequestId or "",
        responseType=ResponseType.FREEFORM,
        freeformText="this",
    )
    done = await hitl.answer(
        RunRef(run.runId), response.requestId, [response], NOBODY, wait_seconds=wait_seconds
    )
    return done.run


async def warm_up(hitl: Orchestrator) -> None:
    """Until every statement is prepared."""
    for _ in range(USES_UNTIL_PREPARED):
        assert (await answer(hitl, await pause(hitl))).status == "completed"


@pytest.mark.parametrize("state", NO_ERRORS_OF_A_RUN)
async def test_what_the_session_is_to_blame_for_is_told_as_a_database_out_of_reach(
    database_url: str, state: str
) -> None:
    async with connection_pool(database_url, max_size=1) as pool:
        with pytest.raises(StoreUnavailable):
            async with connection(pool) as conn:
                await conn.execute(RAISE.format(state).encode())


async def test_a_session_that_cannot_be_used_is_dropped(database_url: str) -> None:
    async with connection_pool(database_url, max_size=1) as pool:
        processes: list[int] = []
        for state in ("0A000", "22012"):
            with suppress(StoreUnavailable, DivisionByZero):
                async with connection(pool) as conn:
                    processes.append(conn.info.backend_pid)
                    await conn.execute(RAISE.format(state).encode())
        async with connection(pool) as conn:
            processes.append(conn.info.backend_pid)
    first, second, third = processes
    assert first != second == third


async def test_a_mistake_of_ours_stays_itself(database_url: str) -> None:
    async with connection_pool(database_url, max_size=1) as pool:
        with pytest.raises(UndefinedTable):
            async with connection(pool) as conn:
                await conn.execute("SELECT FROM nowhere")


async def test_a_column_added_beside_a_running_server_ends_nothing(
    hitl: Orchestrator, admin: AsyncConnection
) -> None:
    await warm_up(hitl)
    runs = [await pause(hitl) for _ in range(3)]
    for table in TABLES:
        statement = sql.SQL("ALTER TABLE {} ADD COLUMN newer text").format(sql.Identifier(table))
        await admin.execute(statement)
    assert [(await answer(hitl, run)).status for run in runs] == ["completed"] * 3
    assert len((await hitl.runs()).rows) == USES_UNTIL_PREPARED + 3
    assert (await hitl.pending()).rows == []


async def test_a_plan_that_must_not_change_costs_503s_and_no_run(
    hitl: Orchestrator, admin: AsyncConnection
) -> None:
    await warm_up(hitl)
    run = await pause(hitl)
    await admin.execute("ALTER TABLE orchestrator_runs ALTER COLUMN request_count TYPE bigint")
    ended = await insist(hitl, run)
    assert ended.status == "completed"


async def insist(hitl: Orchestrator, run: Run) -> Run:
    """Answer until it is taken, and look until it has ended."""
    async with asyncio.timeout(60):
        while True:
            try:
                found = await hitl.run(run.runId)
                if found.status == "awaiting_hitl":
                    await answer(hitl, found, wait_seconds=0)
                elif found.result is not None:
                    return found
            except StoreUnavailable:
                pass
            await asyncio.sleep(0.05)


async def test_a_failover_to_what_can_only_be_read_costs_503s_and_no_run(
    hitl: Orchestrator, admin: AsyncConnection, database_url: str
) -> None:
    run = await pause(hitl)
    async with read_only(admin):
        with pytest.raises(StoreUnavailable):
            await answer(hitl, run)
        with pytest.raises(StoreUnavailable):
            await pause(hitl)
        assert (await hitl.run(run.runId)).status == "awaiting_hitl"
    assert (await insist(hitl, run)).status == "completed"


@asynccontextmanager
async def read_only(admin: AsyncConnection) -> AsyncGenerator[None]:
    """As after a failover: every session ends, and new ones may not write."""
    name = sql.Identifier(admin.info.dbname)
    others = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> %s"
    )
    own = (admin.info.dbname, admin.info.backend_pid)
    await admin.execute(
        sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(name)
    )
    await admin.execute(others, own)
    try:
        yield
    finally:
        await admin.execute(
            sql.SQL("ALTER DATABASE {} RESET default_transaction_read_only").format(name)
        )
        await admin.execute(others, own)
