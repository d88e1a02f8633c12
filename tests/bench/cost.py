"""What one question costs, from the start to the end of its run: here, and with LangGraph's own
Postgres saver on the same three nodes.

python -m tests.bench.cost
"""

import os

os.environ["LANGGRAPH_STRICT_MSGPACK"] = "true"  # read when LangGraph is imported
os.environ["HITL_TEST_LOG"] = os.devnull

import asyncio
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.runtime import RunControl
from langgraph.types import Command, Durability
from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

from hitl_orchestrator.checkpoints.embedded.postgres import EmbeddedPostgres
from hitl_orchestrator.checkpoints.migrate import migrate
from hitl_orchestrator.checkpoints.pool import connection_pool
from hitl_orchestrator.checkpoints.saver import BufferedSaver
from hitl_orchestrator.checkpoints.store import Store
from hitl_orchestrator.checkpoints.transaction import claim_inline
from hitl_orchestrator.domain.hitl import NOBODY, HitlResponse, ResponseType
from hitl_orchestrator.domain.ports import RunRef
from hitl_orchestrator.domain.state import RunSettings
from hitl_orchestrator.graph import runs
from hitl_orchestrator.graph.build import build
from hitl_orchestrator.graph.drive import drive
from hitl_orchestrator.nodes.agents import build_registry, read_agent
from tests.agents import counting
from tests.statements import statements
from tests.temporary import temporary_postgres

WARM_UP, CYCLES = 10, 100

Cycle = Callable[[], Awaitable[None]]


class Cost(NamedTuple):
    """Of one cycle: a start, a question, its answer, an end. Milliseconds are means."""

    statements: float
    commits: float
    milliseconds: float
    cpu_milliseconds: float
    cpu_milliseconds_of_postgres: float


@asynccontextmanager
async def stock(database_url: str, durability: Durability) -> AsyncGenerator[Cycle]:
    """The graph alone: no rows, no audit, no frames, and nobody notices when its process dies."""
    kwargs = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
    pool = AsyncConnectionPool[AsyncConnection[DictRow]](
        database_url, min_size=1, max_size=4, kwargs=kwargs, open=False
    )
    async with pool:
        saver = AsyncPostgresSaver(pool)
        await saver.setup()
        graph = counting.left["run"].copy({"checkpointer": saver})

        async def cycle() -> None:
            config: RunnableConfig = {"configurable": {"thread_id": uuid4().hex}}
            asked = await graph.ainvoke(
                {"runId": "r", "stepId": "s", "facets": {"objective": "Count"}},
                config,
                durability=durability,
                version="v2",
            )
            (interrupt,) = asked.interrupts
            made = await graph.ainvoke(
                Command(resume={interrupt.id: {"freeformText": "yes"}}),
                config,
                durability=durability,
            )
            assert made["left"] == "yes"

        yield cycle


@asynccontextmanager
async def orchestrated(database_url: str) -> AsyncGenerator[Cycle]:
    async with connection_pool(database_url, max_size=4) as pool:
        saver = BufferedSaver(pool, keeps_history=False)
        await migrate(pool, saver)
        agent = read_agent(counting.left, "tests")
        agents, graph = build_registry([agent]), build([agent], saver)
        store = Store(pool, saver, claim_inline("driver", 30), lambda run, happened: None)

        async def cycle() -> None:
            ref = RunRef(f"run_{uuid4().hex}")
            settings = RunSettings(
                runId=ref.run_id or "",
                threadId=uuid4().hex,
                objective="Count",
                outputs=("left",),
                maxHitlRequests=3,
            )
            async with store.transaction() as tx:
                await runs.start(tx, agents, settings, {})
            await drive(graph, store, tx.claims[0], RunControl())
            (request,) = (await store.show(ref)).requests
            response = HitlResponse(
                requestId=request.requestId, responseType=ResponseType.FREEFORM, freeformText="yes"
            )
            async with store.transaction() as tx:
                await runs.answer(tx, ref, request.requestId, [response], NOBODY)
            await drive(graph, store, tx.claims[0], RunControl())

        yield cycle


async def cost(
    opened: Callable[[], AbstractAsyncContextManager[Cycle]], postgres: EmbeddedPostgres
) -> Cost:
    database_url = postgres.start()
    postmaster = int((postgres.cluster / "postmaster.pid").read_text().split()[0])
    async with opened() as cycle:
        for _ in range(WARM_UP):
            await cycle()
        clocks = time.monotonic, time.process_time, lambda: cpu_seconds(postmaster)
        began = [clock() for clock in clocks]
        for _ in range(CYCLES):
            await cycle()
        spent = [
            1000 * (clock() - then) / CYCLES for clock, then in zip(clocks, began, strict=True)
        ]
    async with statements(database_url) as counted, opened() as cycle:
        for _ in range(WARM_UP):
            await cycle()
        async with counted.asked() as asked:
            await cycle()
    return Cost(len(asked.statements), asked.commits, *spent)


def cpu_seconds(postmaster: int) -> float:
    """Of the server and all its processes, also of those that are gone."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            fields = stat.read_text().rpartition(") ")[2].split()
            if stat.parent.name == str(postmaster):
                ticks += sum(map(int, fields[11:15]))
            elif fields[1] == str(postmaster):
                ticks += sum(map(int, fields[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


async def main() -> None:
    costs = dict[str, Cost]()
    with temporary_postgres() as postgres:
        database_url = postgres.start()
        costs['LangGraph\'s saver, `durability="async"`'] = await cost(
            lambda: stock(database_url, "async"), postgres
        )
        costs['LangGraph\'s saver, `durability="sync"`'] = await cost(
            lambda: stock(database_url, "sync"), postgres
        )
        costs["here, with all rows, audit and frames"] = await cost(
            lambda: orchestrated(database_url), postgres
        )
    base, *_, ours = costs.values()
    costs["here, as a multiple of the first"] = Cost(
        *(mine / theirs for mine, theirs in zip(ours, base, strict=True))
    )
    sys.stdout.write(
        "| | statements | commits | ms | ms of CPU | ms of CPU in Postgres |\n"
        "| --- | ---: | ---: | ---: | ---: | ---: |\n"
    )
    for what, one in costs.items():
        sys.stdout.write(f"| {what} | {' | '.join(f'{number:.3g}' for number in one)} |\n")


if __name__ == "__main__":
    asyncio.run(main())
