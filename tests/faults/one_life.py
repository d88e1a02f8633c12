"""A process that starts or answers a run, drives it, and dies at a named point.

    one_life DATABASE_URL (start | start-waited-for | answer REQUEST_ID) POINT

A start that is waited for is written with the first durable moment of its run.

Points: `before the commit` and `after the commit` of the start or the answer; `before the graph`,
`before the last flush` and `after the last flush` of the driving; `in prepared` and `in applied`,
inside the agent's nodes. Exits with 9 where it died, with 0 when it came to rest.
"""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

os.environ["LANGGRAPH_STRICT_MSGPACK"] = "true"

from langgraph.runtime import RunControl

from hitl_orchestrator.checkpoints.migrate import migrate
from hitl_orchestrator.checkpoints.pool import Connection, connection_pool
from hitl_orchestrator.checkpoints.saver import BufferedSaver
from hitl_orchestrator.checkpoints.store import Store
from hitl_orchestrator.checkpoints.transaction import ClaimInline, Dispatch
from hitl_orchestrator.domain.events import Event
from hitl_orchestrator.domain.hitl import NOBODY, HitlResponse, ResponseType
from hitl_orchestrator.domain.ports import Change, Claim, Decide, Locked, RunRef, Unit
from hitl_orchestrator.domain.run import StoredRun
from hitl_orchestrator.domain.state import RunSettings
from hitl_orchestrator.graph import runs
from hitl_orchestrator.graph.build import Graph, build
from hitl_orchestrator.graph.drive import drive
from hitl_orchestrator.nodes.agents import build_registry, read_agent
from tests.agents import counting

DIED = 9
WAITED_FOR = "start-waited-for"
LEASE_SECONDS = 0.05  # over before the next process looks
RUN = RunRef("run_of_one_life")

Die = Callable[[str], None]


def die_at(wanted: str) -> Die:
    def die(point: str) -> None:
        if point == wanted:
            os._exit(DIED)

    return die


@asynccontextmanager
async def opened(
    database_url: str, driver: str, die: Die, *, is_waited_for: bool = False
) -> AsyncGenerator[tuple[Store, Graph]]:
    def note(state: counting.Input, what: str) -> None:
        counting.note(state, what)
        die(f"in {what.split()[0]}")

    agents = [read_agent(counting.mapping("left", ["objective"], note), "tests")]
    async with connection_pool(database_url, max_size=4) as pool:
        saver = BufferedSaver(pool, keeps_history=False)
        await migrate(pool, saver)
        inline = ClaimInline(driver, LEASE_SECONDS)
        dispatch = inline if is_waited_for else _dying(inline, die)
        yield Store(pool, saver, dispatch, _committed(die)), build(agents, saver)


def _dying(dispatch: Dispatch, die: Die) -> Dispatch:
    """The dispatch is the last thing inside the transaction of a decision."""

    async def then_die(conn: Connection, run: StoredRun) -> Claim | None:
        claim = await dispatch(conn, run)
        die("before the commit")
        return claim

    return then_die


def _committed(die: Die) -> Callable[[StoredRun, Sequence[Event]], None]:
    def then_die(run: StoredRun, happened: Sequence[Event]) -> None:
        if any(event.kind in ("run_started", "question_answered") for event in happened):
            die("after the commit")

    return then_die


async def start(store: Store, *, is_waited_for: bool = False) -> list[Claim]:
    settings = RunSettings(
        runId=RUN.run_id or "",
        threadId="thread",
        objective="live",
        outputs=("left",),
        maxHitlRequests=3,
    )
    begun = store.alone(puts_off=True) if is_waited_for else store.transaction()
    async with begun as tx:
        await runs.start(tx, build_registry([read_agent(counting.left, "tests")]), settings, {})
    return tx.claims


async def answer(store: Store, request_id: str) -> list[Claim]:
    response = HitlResponse(
        requestId=request_id, responseType=ResponseType.FREEFORM, freeformText="yes"
    )
    async with store.transaction() as tx:
        await runs.answer(tx, RUN, request_id, [response], NOBODY)
    return tx.claims


class DyingMemory:
    """The store as the graph knows it, dying between two of its effects."""

    def __init__(self, store: Store, die: Die) -> None:
        self._store, self._die = store, die

    @asynccontextmanager
    async def unit(self, claim: Claim) -> AsyncGenerator[Unit]:
        async with self._store.unit(claim) as unit:
            yield DyingUnit(unit, self._die)


class DyingUnit:
    def __init__(self, unit: Unit, die: Die) -> None:
        self._unit, self._die = unit, die
        self.is_new, self.notes = unit.is_new, unit.notes

    async def look(self) -> Locked:
        locked = await self._unit.look()
        self.is_new = self._unit.is_new
        return locked

    def begin(self, thread_id: str, given: Sequence[tuple[str, Any]]) -> None:
        self._unit.begin(thread_id, given)

    async def flush(self, decide: Decide) -> Change:
        self._die("before the last flush")
        change = await self._unit.flush(decide)
        self._die("after the last flush")
        return change

    @property
    def is_behind(self) -> bool:
        return self._unit.is_behind

    async def tell(self, happened: Sequence[Event]) -> bool:
        return await self._unit.tell(happened)

    @asynccontextmanager
    async def flushing(self, decide: Decide) -> AsyncGenerator[None]:
        self._die("before the graph")
        async with self._unit.flushing(decide):
            yield


async def live(database_url: str, what: str, *rest: str) -> None:
    die, waits = die_at(rest[-1]), what == WAITED_FOR
    name = f"life-{os.getpid()}"
    async with opened(database_url, name, die, is_waited_for=waits) as (store, graph):
        begun = answer(store, rest[0]) if what == "answer" else start(store, is_waited_for=waits)
        for claim in await begun:
            await drive(graph, DyingMemory(store, die), claim, RunControl())


def main() -> None:
    asyncio.run(live(*sys.argv[1:]))
