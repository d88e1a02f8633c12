"""Leases: a jump of the database's clock, and rows that somebody has locked."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from psycopg import AsyncConnection, sql

from hitl_orchestrator.checkpoints import claims
from hitl_orchestrator.checkpoints.migrate import migrate
from hitl_orchestrator.checkpoints.pool import connection, connection_pool
from hitl_orchestrator.checkpoints.saver import BufferedSaver
from hitl_orchestrator.checkpoints.store import Store
from hitl_orchestrator.checkpoints.transaction import ClaimInline
from hitl_orchestrator.domain.ports import Claim
from hitl_orchestrator.domain.state import RunSettings
from hitl_orchestrator.graph import runs
from hitl_orchestrator.server.drivers import BEATS_A_LEASE, SWEEP_SECONDS
from tests.agents.counting import log_lines
from tests.api.calls import answering, paused, started
from tests.contracts import registry
from tests.processes import AGENTS

RUNS = 4
LEASE_SECONDS = 24  # a beat every 6 s, and a sweep every 2: somebody sweeps before all have beaten
LONGEST_WAIT_SECONDS = 30
# now() of all sessions but of those that ask pg_catalog by name
JUMPING = """CREATE SCHEMA jumped;
    CREATE TABLE jumped.jump (by interval NOT NULL);
    INSERT INTO jumped.jump VALUES ('0');
    CREATE FUNCTION jumped.now() RETURNS timestamptz LANGUAGE sql STABLE
        AS $$ SELECT pg_catalog.now() + by FROM jumped.jump $$"""


@asynccontextmanager
async def jumping(database_url: str) -> AsyncGenerator[Callable[[str], Awaitable[None]]]:
    """Give what sets the database's clock forward, for all sessions that begin from now on."""
    async with await AsyncConnection.connect(database_url, autocommit=True) as admin:
        await admin.execute(JUMPING)
        name = sql.Identifier(admin.info.dbname)
        path = sql.SQL("ALTER DATABASE {} SET search_path = jumped, pg_catalog, public")
        await admin.execute(path.format(name))

        async def jump(by: str) -> None:
            await admin.execute("UPDATE jumped.jump SET by = %s", (by,))

        yield jump


async def work(client: httpx.AsyncClient, log: Path) -> list[str]:
    body = {"objective": "Work", "inputs": {"log": str(log)}, "outputs": ["lasting"]}
    found = [(await client.post("/api/runs", json=body)).json()["runId"] for _ in range(RUNS)]
    async with asyncio.timeout(LONGEST_WAIT_SECONDS):
        while len([line for line in log_lines(log) if line == "began"]) < RUNS:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return found


async def finish(client: httpx.AsyncClient, run_ids: list[str], log: Path) -> list[str]:
    log.with_name("enough").touch()
    return [
        (await client.get(f"/api/runs/{run_id}?wait=30")).json()["status"] for run_id in run_ids
    ]


@pytest.mark.parametrize("servers", [1, 2])
async def test_who_drives_goes_on_when_the_clock_of_the_database_jumps(
    database_url: str, log: Path, servers: int
) -> None:
    agents = (f"{AGENTS / 'lasting.py'}:agent",)
    async with (
        jumping(database_url) as jump,
        started(database_url, agents=agents, claim_seconds=LEASE_SECONDS) as client,
    ):
        run_ids = await work(client, log)
        if servers == 1:
            await jump("1 hour")
            await asyncio.sleep(2 * SWEEP_SECONDS)
        else:
            async with started(database_url, agents=agents, claim_seconds=LEASE_SECONDS):
                await asyncio.sleep(0.5)
                await jump("1 hour")
                await asyncio.sleep(LEASE_SECONDS / BEATS_A_LEASE + SWEEP_SECONDS)
        assert await finish(client, run_ids, log) == ["completed"] * RUNS
    assert log_lines(log).count("began") == RUNS, "an agent ran twice though no process had died"


@pytest.mark.slow
async def test_who_fits_still_lives_when_the_clock_of_the_database_jumps(
    database_url: str,
) -> None:
    """A server without the agent takes the answer, and holds nothing."""
    asks, lasting = f"{AGENTS / 'asks.py'}:agent", f"{AGENTS / 'lasting.py'}:agent"
    seconds = BEATS_A_LEASE * SWEEP_SECONDS
    async with (
        jumping(database_url) as jump,
        started(database_url, agents=(asks,), claim_seconds=seconds) as fitting,
        started(database_url, agents=(lasting,), claim_seconds=seconds) as other,
    ):
        answered, waits = await paused(fitting), await paused(fitting)
        await asyncio.sleep(SWEEP_SECONDS)  # each has heard of the other
        await jump("2 hours")
        body = answering(answered, freeformText="x")
        reply = await other.post("/api/hitl/resume?wait=20", json=body)
        assert (reply.status_code, reply.json()["status"]) == (200, "completed"), reply.text
        await asyncio.sleep(2 * SWEEP_SECONDS)
        run = (await other.get(f"/api/runs/{waits['runId']}")).json()
        audit = [entry["action"] for entry in run["metadata"]["auditLog"]]
        assert (run["held"], audit) == (None, ["start", "request"])


async def test_work_that_goes_on_keeps_its_thread_when_the_clock_of_the_database_jumps(
    database_url: str, log: Path
) -> None:
    agents = (f"{AGENTS / 'payer.py'}:synchronous",)
    body = {"objective": "Pay", "inputs": {"log": str(log)}, "threadId": "one"}
    async with jumping(database_url) as jump, started(database_url, agents=agents) as client:
        path = f"/api/runs/{(await client.post('/api/runs', json=body)).json()['runId']}"
        async with asyncio.timeout(LONGEST_WAIT_SECONDS):
            while "began" not in log_lines(log):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        cancelled = (await client.post(f"{path}/cancel", json={"reason": "enough"})).json()
        assert cancelled["stillWorking"] is True
        await jump("1 hour")
        assert (await client.get(path)).json()["stillWorking"] is True
        assert (await client.post("/api/runs", json=body)).status_code == 409
        log.with_name("enough").touch()


@pytest.fixture
async def store(database_url: str) -> AsyncGenerator[Store]:
    async with connection_pool(database_url, max_size=4) as pool:
        saver = BufferedSaver(pool, keeps_history=False)
        await migrate(pool, saver)
        yield Store(pool, saver, ClaimInline("driver", 30), lambda run, happened: None)


async def start(store: Store, run_id: str) -> Claim:
    settings = RunSettings(
        runId=run_id, threadId=run_id, objective="o", outputs=("x",), maxHitlRequests=3
    )
    async with store.transaction() as tx:
        await runs.start(tx, registry("a: objective -> x"), settings, {})
    return tx.claims[0]


async def list_until(store: Store) -> dict[str, float]:
    """Return for how many seconds each run is claimed."""
    left = "SELECT run_id, extract(epoch FROM claimed_until - now())::float AS s"
    async with connection(store.pool) as conn:
        rows = await conn.execute(f"{left} FROM orchestrator_runs".encode())
        return {row["run_id"]: row["s"] for row in await rows.fetchall()}


async def test_a_locked_row_keeps_no_other_from_being_renewed(
    store: Store, database_url: str
) -> None:
    held = [await start(store, name) for name in ("locked", "free")]
    lock = "SELECT FROM orchestrator_runs WHERE run_id = 'locked' FOR UPDATE"
    async with await AsyncConnection.connect(database_url) as other:
        await other.execute(lock)
        async with asyncio.timeout(5):
            kept = await store.beat(held, timedelta(seconds=300))
            await store.keep_working(["locked"], "driver", timedelta(seconds=300))
        left = await list_until(store)
    assert kept == {(claim.run_id, claim.token) for claim in held}
    assert left["locked"] < 60 < left["free"]


async def test_only_what_its_process_knows_of_is_renewed(store: Store) -> None:
    """The other's COMMIT was not answered: its token is known to nobody."""
    known, _ = [await start(store, name) for name in ("known", "unknown")]
    await store.beat([known], timedelta(seconds=300))
    left = await list_until(store)
    assert left["unknown"] < 60 < left["known"]


async def test_a_lost_claim_is_not_kept(store: Store) -> None:
    claim = await start(store, "run")
    assert await store.beat([claim._replace(token="another")], timedelta(seconds=30)) == set()


async def test_who_drives_a_run_does_not_take_it_from_itself(store: Store) -> None:
    taker = claims.Taker("driver", timedelta(seconds=30), driven=["mine"])
    for name in ("mine", "other"):
        await start(store, name)
    async with connection(store.pool) as conn:
        await conn.execute("UPDATE orchestrator_runs SET claimed_until = now() - interval '1 hour'")
    taken = await store.take_lapsed("token", taker, 10)
    assert [claim.run_id for claim in taken] == ["other"]


async def test_a_sweep_by_the_same_token_takes_the_same_again_and_counts_once(
    store: Store,
) -> None:
    await start(store, "run")
    async with connection(store.pool) as conn:
        await conn.execute("UPDATE orchestrator_runs SET claimed_until = now() - interval '1 hour'")
    taker = claims.Taker("driver", timedelta(seconds=30))
    first = await store.take_lapsed("token", taker, 10)
    assert await store.take_lapsed("token", taker, 10) == first
    assert [claim.attempt for claim in first] == [2]
    assert await store.take_lapsed("another", taker, 10) == []


async def test_what_has_lost_its_drivers_comes_one_by_one_and_later_each_time(
    store: Store,
) -> None:
    for number in range(3):
        await start(store, f"run {number}")
    taker = claims.Taker("driver", timedelta(seconds=30))

    async def age(seconds: int, attempts: int) -> None:
        async with connection(store.pool) as conn:
            await conn.execute(
                "UPDATE orchestrator_runs SET attempts = %s,"
                " claimed_until = now() - make_interval(secs => %s)",
                (attempts, seconds),
            )

    await age(seconds=3, attempts=3)
    assert await store.take_lapsed("1", taker, 10) == []
    await age(seconds=5, attempts=3)
    assert await store.take_lapsed("2", taker._replace(may_suspect=False), 10) == []
    assert [claim.attempt for claim in await store.take_lapsed("3", taker, 10)] == [4]
    await age(seconds=1, attempts=1)
    assert len(await store.take_lapsed("4", taker, 10)) == 3
