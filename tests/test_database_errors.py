"""Errors of the database that are no errors of a run: it is dropped, and tried again."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import pytest
from psycopg import (
    AsyncConnection,
    DatabaseError,
    Error,
    InterfaceError,
    InternalError,
    ProgrammingError,
    sql,
)
from psycopg.errors import DivisionByZero, UndefinedTable

from hitl_orchestrator.checkpoints.addresses import check_session
from hitl_orchestrator.checkpoints.pool import blaming_the_database, connection, connection_pool
from hitl_orchestrator.domain.errors import ConfigurationError, StoreUnavailable
from hitl_orchestrator.domain.hitl import NOBODY, HitlResponse, ResponseType
from hitl_orchestrator.domain.ports import RunRef
from hitl_orchestrator.domain.run import NewRun, Run
from hitl_orchestrator.server.orchestrator import Orchestrator
from hitl_orchestrator.server.services import Services, open_services
from hitl_orchestrator.server.settings import Settings
from hitl_orchestrator.server.waiting import AT_WORK
from tests.faults.proxy import Way, proxied
from tests.pooler import needs_pgbouncer, pooling
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
async def services(database_url: str) -> AsyncGenerator[Services]:
    settings = Settings(database_url=database_url, agents=(str(AGENTS / "asks.py:agent"),))
    async with open_services(settings) as opened:
        yield opened


@pytest.fixture
def hitl(services: Services) -> Orchestrator:
    return Orchestrator(services)


@pytest.fixture
async def admin(database_url: str) -> AsyncGenerator[AsyncConnection]:
    async with await AsyncConnection.connect(database_url, autocommit=True) as conn:
        yield conn


async def start(hitl: Orchestrator) -> Run:
    """Return the run once it has paused, or where the database was out of reach meanwhile."""
    question: Any = {"question": "What now?", "kind": "freeform"}
    new = NewRun(objective="Ask", inputs={"question": question}, outputs=("answer",))
    return (await hitl.start(new, wait_seconds=60)).run


async def pause(hitl: Orchestrator) -> Run:
    run = await start(hitl)
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


@pytest.mark.parametrize(
    "error",
    [
        InternalError("received 2 results from command 'COMMIT'"),  # psycopg's
        InternalError("got no result from the query"),
        DatabaseError("lost synchronization with server"),  # libpq's, which has no SQLSTATE
    ],
    ids=str,
)
async def test_so_is_one_whose_reply_cannot_be_understood(database_url: str, error: Error) -> None:
    async with connection_pool(database_url, max_size=1) as pool:
        async with connection(pool) as conn:
            before = conn.info.backend_pid
        with pytest.raises(StoreUnavailable):
            async with connection(pool):
                raise error
        async with connection(pool) as conn:
            assert conn.info.backend_pid != before


async def test_a_session_whose_end_is_told_twice_is_a_database_out_of_reach(
    database_url: str,
) -> None:
    async with proxied(database_url) as (proxy, url), connection_pool(url, max_size=1) as pool:
        twice = proxy.break_at("SELECT 1", Way.TWICE)
        with pytest.raises(StoreUnavailable) as told:
            async with connection(pool) as conn, conn.transaction():
                await conn.execute("SELECT 1")
        assert twice.happened.is_set()
        assert "received 2 results" in str(told.value.__cause__)
        async with connection(pool) as conn:
            await conn.execute("SELECT 1")


async def test_a_mistake_of_ours_stays_itself(database_url: str) -> None:
    async with connection_pool(database_url, max_size=1) as pool:
        with pytest.raises(UndefinedTable):
            async with connection(pool) as conn:
                await conn.execute("SELECT FROM nowhere")
        with pytest.raises(ProgrammingError):
            async with connection(pool) as conn:
                await conn.execute("SELECT %(this)s::text", {"that": 1})
        async with pool.connection() as conn:
            cursor = await conn.execute("SELECT 1")
            await cursor.close()
        with pytest.raises(InterfaceError):
            async with connection(pool):
                await cursor.fetchone()


async def test_who_drives_tries_again_what_another_try_may_bring_about_and_no_mistake_of_ours(
    database_url: str,
) -> None:
    """A statement that lacks a parameter kept runs `running` for ever."""
    async with connection_pool(database_url, max_size=1) as pool, connection(pool) as conn:
        with pytest.raises(StoreUnavailable), blaming_the_database():
            await conn.execute("SELECT FROM nowhere")
        with pytest.raises(ProgrammingError), blaming_the_database():
            await conn.execute("SELECT %(this)s::text", {"that": 1})


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


async def test_who_answers_does_not_wait_for_ever_for_a_locked_run(
    hitl: Orchestrator, database_url: str
) -> None:
    run = await pause(hitl)
    async with await AsyncConnection.connect(database_url) as other:
        await other.execute("SELECT FROM orchestrator_runs FOR UPDATE")
        async with asyncio.timeout(30):
            with pytest.raises(StoreUnavailable, match="too busy"):
                await answer(hitl, run)
    assert (await answer(hitl, run)).status == "completed"


async def test_heartbeats_do_not_wait_for_those_who_call(database_url: str) -> None:
    """All connections for calls, and all for runs, are taken by what waits for a lock."""
    agents = (str(AGENTS / "hangs.py:forever"),)
    settings = Settings(
        database_url=database_url, agents=agents, claim_seconds=2, drain_seconds=0.2
    )
    async with open_services(settings) as services, AsyncExitStack() as stack:
        run = (await Orchestrator(services).start(NewRun(objective="Hang"))).run
        for pool in (services.store.pool, services.store.saver.pool):
            for _ in range(pool.max_size):
                await stack.enter_async_context(connection(pool))
        until = await read_claim(database_url, run.runId)
        async with asyncio.timeout(30):
            while await read_claim(database_url, run.runId) == until:  # noqa: ASYNC110
                await asyncio.sleep(0.05)


async def read_claim(database_url: str, run_id: str) -> object:
    """Return until when the run is claimed."""
    query = "SELECT claimed_until FROM orchestrator_runs WHERE run_id = %s"
    async with await AsyncConnection.connect(database_url) as conn:
        row = await (await conn.execute(query, (run_id,))).fetchone()
    return row and row[0]


async def test_prepared_statements_that_are_there_already_end_no_run(
    services: Services, hitl: Orchestrator
) -> None:
    """As behind a pooler that lends sessions: psycopg's names are taken, and some are gone."""
    await warm_up(hitl)
    store = services.store
    for pool in (store.pool, store.saver.pool, store.keeping):
        async with connection(pool) as conn:
            await conn.execute("DEALLOCATE ALL", prepare=False)
            for number in range(200):
                statement = f"PREPARE _pg3_{number} AS SELECT 1"
                await conn.execute(statement.encode(), prepare=False)
    run = await insist(hitl, await pause_in_the_end(hitl))
    assert run.status == "completed"


async def pause_in_the_end(hitl: Orchestrator) -> Run:
    async with asyncio.timeout(60):
        while True:
            with suppress(StoreUnavailable):
                run = await start(hitl)
                while run.status in AT_WORK:
                    run = await hitl.run(run.runId, wait_seconds=60)
                assert run.status == "awaiting_hitl", run
                return run


@needs_pgbouncer
@pytest.mark.parametrize(
    ("mode", "ignored", "said"),
    [
        ("transaction", "extra_float_digits", "passes no settings of a session on"),
        ("transaction", "options", "passes no settings of a session on"),
        ("session", "options", "passes no settings of a session on"),
    ],
)
async def test_a_pooler_is_told_at_the_start(
    database_url: str, mode: str, ignored: str, said: str
) -> None:
    with (
        pooling(database_url, mode, ignore_startup_parameters=ignored) as pooler,
        pytest.raises(ConfigurationError, match=said) as refused,
    ):
        await check_session(pooler.url)
    assert "set HITL_LISTEN_URL to the address of Postgres itself" in refused.value.detail


@needs_pgbouncer
async def test_a_pooler_that_lends_sessions_is_told_though_it_keeps_their_settings(
    database_url: str, admin: AsyncConnection
) -> None:
    setting = "ALTER DATABASE {} SET idle_in_transaction_session_timeout = '10s'"
    await admin.execute(sql.SQL(setting).format(sql.Identifier(admin.info.dbname)))
    keeps = {"ignore_startup_parameters": "options"}
    with (
        pooling(database_url, **keeps) as pooler,
        pytest.raises(ConfigurationError, match="another session"),
    ):
        await check_session(pooler.url)
    with pooling(database_url, "session", **keeps) as pooler:
        await check_session(pooler.url)
    await check_session(database_url)
