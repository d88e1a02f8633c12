"""What the inside needs from outside: the memory.

`checkpoints` has it; the graph and its rules know this page alone.
"""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from types import MappingProxyType
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from hitl_orchestrator.domain.events import Event
from hitl_orchestrator.domain.hitl import (
    HitlRequest,
    HitlResponse,
    Person,
    RequestStatus,
    Settled,
    Urgency,
)
from hitl_orchestrator.domain.needs import Asker
from hitl_orchestrator.domain.records import Json, JsonObject
from hitl_orchestrator.domain.run import RunStatus, StoredRun
from hitl_orchestrator.domain.state import Asked

T = TypeVar("T")


class Page(NamedTuple, Generic[T]):
    """Some of many, in order. `next_cursor`: where the next page begins; None: there is none."""

    rows: list[T]
    next_cursor: str | None


@dataclass(frozen=True)
class Frame:
    """An event of a stream, as it is sent. `is_last`: the stream ends with it."""

    seq: int
    body: JsonObject
    is_last: bool

    @cached_property
    def event(self) -> bytes:
        """The frame as a server-sent event, written once for all who get it.

        Without an `event:` field: EventSource.onmessage then sees every frame.
        """
        return f"id: {self.seq}\ndata: {json.dumps(self.body, ensure_ascii=False)}\n\n".encode()


class WaitingRun(NamedTuple):
    """A paused run and its pending requests."""

    run: StoredRun
    requests: list[HitlRequest]


class Wanted(NamedTuple):
    """Which requests to list; None: any.

    `text` stands in what they ask, in any case; `prefix` begins their ids.
    """

    status: RequestStatus | None = None
    agent: str | None = None
    urgency: Urgency | None = None
    text: str | None = None
    prefix: str | None = None


class WantedThreads(NamedTuple):
    """Which threads to list, by the status of their runs; of questions, whether they wait or not.

    None: any. `metadata`: what the run's has to have among its own.
    """

    statuses: tuple[RunStatus, ...] = tuple(RunStatus)
    waiting: bool = True
    over: bool = True
    ids: Sequence[str] | None = None
    run_id: str | None = None
    thread_id: str | None = None
    agent: str | None = None
    urgency: str | None = None
    metadata: Mapping[str, Json] = MappingProxyType({})


class RunRef(NamedTuple):
    """A run by its id, or by its thread; both must agree.

    By its thread the run that has not ended is meant, else the newest.
    """

    run_id: str | None = None
    thread_id: str | None = None


class Once(NamedTuple):
    """A call that must not be done twice: where, its Idempotency-Key, and a hash of its body."""

    route: str
    key: str
    body_hash: str


class Claim(NamedTuple):
    """The right to drive a run. `token` is the fence: whoever lost it writes nothing.

    `attempt`: how often it was claimed since it last got any further, this time included.
    """

    run_id: str
    token: str
    attempt: int = 1


@dataclass(frozen=True)
class Locked:
    """A run that nobody else can change until the transaction ends.

    `now` is the database's clock.
    """

    run: StoredRun
    requests: Sequence[HitlRequest]
    settled: Mapping[str, Settled]  # how requests ended, by id; a guard's denials aside
    resolved: Mapping[str, tuple[Person | None, datetime]]  # by whom, and when
    now: datetime
    askers: Mapping[str, Asker] = field(default_factory=dict[str, Asker])
    """Who asked, by request, as long as the answer is not delivered."""


@dataclass(frozen=True)
class Settlement:
    request: HitlRequest  # as it is now: status and denial reason
    settled: Settled
    by: Person | None = None


@dataclass(frozen=True)
class Change:
    """What a decision comes to. Written as a whole or not at all."""

    run: StoredRun
    asked: Sequence[Asked] = ()  # new requests, dated: pending, or refused by a guard
    settled: Sequence[Settlement] = ()
    responses: Sequence[HitlResponse] = ()
    delivered: Sequence[HitlRequest] = ()
    events: Sequence[Event] = field(default_factory=tuple[Event, ...])
    drive: bool = False  # somebody has to drive it from here
    fitted: Mapping[str, str] = field(default_factory=dict[str, str])
    """Fingerprints of agents in which these requests were found to wait, by request."""


class Transaction(Protocol):
    """One use case, one transaction."""

    async def insert(self, change: Change) -> None:
        """Write a new run. Raise ThreadBusy."""
        ...

    async def reopen(self, change: Change) -> None:
        """Write a run that had ended and goes on. Raise ThreadBusy."""
        ...

    async def lock(self, ref: RunRef) -> Locked:
        """Lock a run. Raise NotFound, or Invalid when run and thread disagree."""
        ...

    async def write(self, change: Change) -> None: ...

    async def has_fitting(self, needs: Collection[str]) -> bool:
        """Tell whether a living process that drives runs has all that is needed."""
        ...

    async def now(self) -> datetime: ...


class Update(NamedTuple):
    """What a task of a LangGraph thread wrote when it finished, asked or failed; or its input."""

    id: str
    thread_id: str
    writes: list[tuple[str, Any]]  # (channel, value), in order


Decide = Callable[[Locked, Sequence[Update]], Change]
Committed = Callable[[StoredRun, Sequence[Event]], None]  # told after each commit; must not raise


class Unit(Protocol):
    """What the graph writes while a run is driven, held back until a flush.

    `is_new`: when it was looked at, nothing had ever been written to the run's threads. `notes`:
    what who drives it on from a pause need not find out again. There may be none.
    """

    is_new: bool
    notes: dict[str, Any]

    async def look(self) -> Locked:
        """Return the run as it is now. Raise Fenced when the claim is not ours."""
        ...

    def begin(self, thread_id: str, given: Sequence[tuple[str, Any]]) -> None:
        """Let what the graph is given next be recorded, with its checkpoint: no task writes it."""
        ...

    async def flush(self, decide: Decide) -> Change:
        """Write, in one transaction, the checkpoints and the rows that `decide` makes of them.

        `decide` is given the locked run, and checks the fence.
        """
        ...

    @property
    def is_behind(self) -> bool:
        """Return whether tasks have finished since the last flush."""
        ...

    async def tell(self, happened: Sequence[Event]) -> bool:
        """Write the frames of what happened, and nothing else. Return False: the claim was lost.

        They may be lost, too. Raise StoreUnavailable: nobody knows whether they are written.
        """
        ...

    def flushing(self, decide: Decide) -> AbstractAsyncContextManager[None]:
        """Meanwhile flush what tasks finished once they are quiet for 0.1 s; at most 0.8 s later.

        A lost claim ends the work with Fenced.
        """
        ...


class Memory(Protocol):
    def unit(self, claim: Claim) -> AbstractAsyncContextManager[Unit]: ...
