"""A run in memory: the compiled graph, driven as on a server, without server and database.

It is gone with the process. Nobody else drives it, and no time passes: nothing expires.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.runtime import RunControl
from langgraph.store.memory import InMemoryStore

from hitl_orchestrator.domain.answers import read_said
from hitl_orchestrator.domain.events import Event
from hitl_orchestrator.domain.frames import build_frame
from hitl_orchestrator.domain.hitl import NOBODY, HitlRequest, HitlResponse, RequestStatus, Settled
from hitl_orchestrator.domain.ports import Change, Claim, Decide, Locked, Update
from hitl_orchestrator.domain.records import Json, JsonObject
from hitl_orchestrator.domain.run import Run, StoredRun, build_run_view
from hitl_orchestrator.domain.state import RunSettings
from hitl_orchestrator.graph import decisions
from hitl_orchestrator.graph.build import build
from hitl_orchestrator.graph.drive import drive
from hitl_orchestrator.nodes.agents import Agent, build_registry
from hitl_orchestrator.nodes.calls import ThreadACall
from hitl_orchestrator.nodes.mishaps import keeping_mishaps

DEFAULT_LIMIT = 100  # of questions: who tries an agent answers them all
FLUSH_SECONDS = 0.1

Hear = Callable[[JsonObject], None]  # a frame, as it comes


class NotingSaver(InMemorySaver):
    """Notes what tasks write, for who makes rows of it."""

    def __init__(self) -> None:
        super().__init__()
        self.updates: list[Update] = []

    def put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        super().put_writes(config, writes, task_id, task_path)
        at = config.get("configurable", {})
        if not at.get("checkpoint_ns"):
            self.updates.append(Update(uuid4().hex, at["thread_id"], [*writes]))


class Trial:
    """A run of agents in memory. `mishaps`: what they raised. `frames`: all so far.

    Raise Invalid where what is wanted cannot be made of what is there, and ConfigurationError for
    agents that cannot be together.
    """

    def __init__(
        self,
        agents: Sequence[Agent],
        objective: str,
        inputs: Mapping[str, Json] | None = None,
        outputs: Sequence[str] = (),
        *,
        limit: int = DEFAULT_LIMIT,
        metadata: JsonObject | None = None,
        hear: Hear | None = None,
    ) -> None:
        """`outputs`: the facets that are wanted; none: all that the agents make."""
        self.mishaps: list[Exception] = []
        self.frames: list[JsonObject] = []
        self._saver = NotingSaver()
        self._store = InMemoryStore()
        self._graph = build(agents, self._saver, store=self._store)
        self._hear = hear
        settings = RunSettings(
            runId=f"run_{uuid4().hex}",
            threadId=f"thread_{uuid4().hex}",
            objective=objective,
            inputs={**(inputs or {})},
            outputs=tuple(outputs) or list_outputs(agents),
            maxHitlRequests=limit,
        )
        now, registry = datetime.now(UTC), build_registry(agents)
        started = decisions.start(registry, settings, metadata or {}, now)
        self._kept = _Kept(started.run, self._saver, self._tell)
        self._kept.write(started)

    @property
    def run(self) -> Run:
        """Return the run as `GET /api/runs/{runId}` shows it; its audit log is empty."""
        return build_run_view(self._kept.run, [*self._kept.requests.values()], [])

    @property
    def pending(self) -> list[HitlRequest]:
        """Return the questions that wait, in the order of asking."""
        requests = self._kept.requests.values()
        return [each for each in requests if each.status is RequestStatus.PENDING]

    @property
    def has_kept(self) -> bool:
        """Tell whether an agent keeps something in the store that it was given."""
        return bool(self._store.list_namespaces())

    async def go_on(self) -> None:
        """Drive the run until it waits for people, or has ended."""
        claim = Claim(self._kept.run.runId, uuid4().hex)
        self._kept.run = self._kept.run.but(claimToken=claim.token)
        with keeping_mishaps(self.mishaps):
            await drive(self._graph, self._kept, claim, RunControl())

    def answer(self, request: HitlRequest, said: Json) -> None:
        """Take the answer, in the words of `read_said`. Raise Invalid: it does not fit."""
        self.respond(read_said(request, said))

    def respond(self, response: HitlResponse) -> None:
        """Take the response. Raise Invalid: it does not fit its question."""
        locked = self._kept.lock()
        self._kept.write(decisions.answer(locked, response.requestId, [response], NOBODY))

    def _tell(self, event: Event) -> None:
        frame = build_frame(self._kept.run, len(self.frames) + 1, event, datetime.now(UTC))
        if frame is None:
            return
        self.frames.append(frame)
        if self._hear:
            self._hear(frame)


@contextmanager
def open_loop() -> Generator[asyncio.Runner]:
    """Open an event loop in which each synchronous call has a thread of its own, as on a server.

    One that hangs keeps nobody from closing it.
    """
    with asyncio.Runner() as runner:
        runner.get_loop().set_default_executor(ThreadACall())
        yield runner


def list_outputs(agents: Sequence[Agent]) -> tuple[str, ...]:
    """Return all that the agents make."""
    outputs: list[str] = []
    for agent in agents:
        outputs += agent.capability.outputFacets
    return tuple(dict.fromkeys(outputs))


class _Kept:
    """The memory of one run, and the unit in which it is driven."""

    def __init__(self, run: StoredRun, saver: NotingSaver, tell: Callable[[Event], None]) -> None:
        self.run = run
        self.requests: dict[str, HitlRequest] = {}
        self.notes: dict[str, Any] = {}
        self.is_new = True
        self._settled: dict[str, Settled] = {}
        self._updates = saver.updates
        self._tell = tell

    @asynccontextmanager
    async def unit(self, claim: Claim) -> AsyncGenerator["_Kept"]:
        yield self
        self.is_new = False

    def lock(self) -> Locked:
        requests = [*self.requests.values()]
        return Locked(self.run, requests, self._settled, {}, datetime.now(UTC))

    async def look(self) -> Locked:
        return self.lock()

    def begin(self, thread_id: str, given: Sequence[tuple[str, Any]]) -> None:
        self._updates.append(Update(uuid4().hex, thread_id, [*given]))

    async def flush(self, decide: Decide) -> Change:
        updates = [*self._updates]
        change = decide(self.lock(), updates)
        del self._updates[: len(updates)]
        self.write(change)
        return change

    @property
    def is_behind(self) -> bool:
        return bool(self._updates)

    async def tell(self, happened: Sequence[Event]) -> bool:
        for event in happened:
            self._tell(event)
        return True

    @asynccontextmanager
    async def flushing(self, decide: Decide) -> AsyncGenerator[None]:
        background = asyncio.create_task(self._flush_now_and_then(decide))
        try:
            yield
        finally:
            background.cancel()

    async def _flush_now_and_then(self, decide: Decide) -> None:
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            if self._updates:
                await self.flush(decide)

    def write(self, change: Change) -> None:
        self.run = change.run
        for asked in change.asked:
            self.requests[asked.request.requestId] = asked.request
        for settlement in change.settled:
            self.requests[settlement.request.requestId] = settlement.request
            self._settled[settlement.request.requestId] = settlement.settled
        for response in change.responses:
            request = self.requests[response.requestId]
            self._put(request.but(responses=(*request.responses, response)))
        for delivered in change.delivered:
            self._put(self.requests[delivered.requestId].but(deliveredAt=self.run.updatedAt))
        for event in change.events:
            self._tell(event)

    def _put(self, request: HitlRequest) -> None:
        self.requests[request.requestId] = request
