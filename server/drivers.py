"""The drivers of this process.

Each claimed run is driven in the background, kept claimed, and given back on the way out.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Self
from uuid import uuid4

from langgraph.runtime import RunControl

from hitl_orchestrator.checkpoints.store import Store
from hitl_orchestrator.checkpoints.tasks import end_tasks
from hitl_orchestrator.domain.errors import Fenced, StoreUnavailable
from hitl_orchestrator.domain.ports import Claim
from hitl_orchestrator.graph import runs
from hitl_orchestrator.graph.build import Graph
from hitl_orchestrator.graph.drive import drive
from hitl_orchestrator.nodes.calls import Calls, counting
from hitl_orchestrator.server.expiry import deny_expired
from hitl_orchestrator.server.fleet import Fleet

_log = logging.getLogger("hitl.drivers")

MAX_DRIVEN = 200  # at once in a process; further claims wait their turn, and stay claimed
SWEEP_SECONDS = 2.0  # an expired question is denied within 5 s of its time
_SWEEP_LIMIT = 100
_BEATS_A_LEASE = 4

Requeue = Callable[[], Awaitable[None]]


class Drivers:
    """Opened by `async with`.

    `fleet` is told that this process lives, and says what it should drive after a deploy; None:
    nothing is ever plugged in otherwise.
    `requeue`: with a queue, what is done about runs that nobody drives; None: this process
    takes them itself. `rehydrated` is told which.
    """

    def __init__(
        self,
        graph: Graph,
        store: Store,
        driver_id: str,
        claim_seconds: float,
        drain_seconds: float,
        requeue: Requeue | None = None,
        rehydrated: Callable[[str], None] = lambda run_id: None,
        fleet: Fleet | None = None,
    ) -> None:
        self._graph = graph
        self._store = store
        self._fleet = fleet
        self._takes_jobs = False
        self._driver_id = driver_id
        self._requeue = requeue
        self._rehydrated = rehydrated
        self._lease = timedelta(seconds=claim_seconds)
        self._drain_seconds = drain_seconds
        self._driven: dict[Claim, tuple[asyncio.Task[None], RunControl]] = {}
        self._calls: dict[str, Calls] = {}  # by run, of those driven here or still working
        self._lingering: dict[str, asyncio.Task[None]] = {}
        self._places = asyncio.Semaphore(MAX_DRIVEN)
        self._loops: list[asyncio.Task[None]] = []
        self._draining = False

    async def __aenter__(self) -> Self:
        beat_seconds = self._lease.total_seconds() / _BEATS_A_LEASE
        if self._fleet:
            await self._fleet.sign_on()
        self._loops = [
            asyncio.create_task(every(beat_seconds, self._beat)),
            asyncio.create_task(every(beat_seconds, self._report)),
            asyncio.create_task(every(SWEEP_SECONDS, self._sweep)),
        ]
        return self

    async def __aexit__(self, *error: object) -> None:
        """Drain: running waves reach their flush, or are given up after the grace period.

        What is left is free for others.
        """
        self._draining = True
        await end_tasks(*self._loops[1:])
        for _, control in self._driven.values():
            control.request_drain()
        tasks = [task for task, _ in self._driven.values()]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=self._drain_seconds)
            await end_tasks(*late)
        await end_tasks(*self._loops, *self._lingering.values())
        if self._fleet:
            await self._fleet.sign_off()

    @property
    def alive(self) -> bool:
        return not self._draining and not any(loop.done() for loop in self._loops)

    def start(self, claims: Sequence[Claim]) -> None:
        """Drive what this process has claimed, in the background."""
        for claim in claims:
            control = RunControl()
            if self._draining:
                control.request_drain()
            task = asyncio.create_task(self._drive(claim, control), name=f"drive {claim.run_id}")
            self._driven[claim] = task, control
            task.add_done_callback(lambda _, claim=claim: self._driven.pop(claim, None))

    async def drive_to_rest(self, run_id: str) -> None:
        """Claim the run, if nobody drives it, and drive it until it pauses, ends or is given up."""
        claim = Claim(run_id, uuid4().hex)
        if await self._store.take(claim, self._driver_id, self._lease):
            self.start([claim])
            await asyncio.wait([self._driven[claim][0]])
        elif await self._store.leave(run_id):
            self._suspect()

    def take_jobs(self) -> None:
        """From now on also take runs whose jobs went to processes without their agents."""
        self._takes_jobs = True

    def stop(self, run_id: str) -> None:
        """Stop driving a run at once: a person cancelled it, and its claim is gone already."""
        for claim, (task, _) in list(self._driven.items()):
            if claim.run_id == run_id:
                task.cancel()

    async def _drive(self, claim: Claim, control: RunControl) -> None:
        calls = self._calls.setdefault(claim.run_id, Calls())
        try:
            async with self._places:
                with counting(calls):
                    await drive(self._graph, self._store, claim, control)
        except Fenced:
            _log.info("run %s is driven by another process", claim.run_id)
        except Exception as error:  # noqa: BLE001
            # a defect: this run fails, and the others never notice
            _log.exception("driving run %s failed", claim.run_id)
            with suppress(Fenced, StoreUnavailable):
                message = f"The orchestrator failed: {type(error).__name__}."
                async with self._store.transaction() as tx:
                    await runs.fail(tx, claim, message, still_working=calls.are_running)
        finally:
            with suppress(StoreUnavailable):
                await self._leave(claim, calls)

    async def _leave(self, claim: Claim, calls: Calls) -> None:
        """Give the claim back; where calls go on, see to it that everybody knows until they end."""
        if not calls.are_running:
            self._forget(claim)
            await self._store.release(claim, self._driver_id)
            return
        if claim.run_id not in self._lingering:
            lingering = asyncio.create_task(self._linger(claim, calls))
            self._lingering[claim.run_id] = lingering
        await self._store.release(claim, None)
        await self._store.keep_working([claim.run_id], self._driver_id, self._lease)

    async def _linger(self, claim: Claim, calls: Calls) -> None:
        """Wait until nothing works for the run here any more, and say so."""
        await calls.wait_for_end()
        del self._lingering[claim.run_id]
        self._forget(claim)
        # a database out of reach: nobody keeps it working, so it will not seem so for long
        with suppress(StoreUnavailable):
            await self._store.release(claim, self._driver_id)

    def _forget(self, claim: Claim) -> None:
        others = [other for other in self._driven if other != claim]
        if not any(other.run_id == claim.run_id for other in others):
            self._calls.pop(claim.run_id, None)

    async def _beat(self) -> None:
        held = dict(self._driven)
        working = {*self._lingering}
        if held:
            tokens = await self._store.beat(self._driver_id, self._lease)
            for claim, (task, _) in held.items():
                if claim.token not in tokens:
                    task.cancel()
                    working.add(claim.run_id)
        if working:
            await self._store.keep_working([*working], self._driver_id, self._lease)

    async def _report(self) -> None:
        """Say that this process lives, and drive what can go on since others do or do not."""
        if self._fleet:
            async for claims in self._fleet.report():
                self.start(claims)

    def _suspect(self) -> None:
        """Have it looked whether a run has nobody who goes on with it."""
        if self._fleet:
            self._fleet.suspect()

    async def _sweep(self) -> None:
        """Take what nobody drives, and deny questions whose time is over."""
        if claims := await deny_expired(self._store):
            self.start(claims)
            self._suspect()
        if self._requeue:
            await self._requeue()
            if self._takes_jobs:
                left = await self._store.take_left(self._driver_id, self._lease, _SWEEP_LIMIT)
                self.start(left)
        else:
            lapsed = await self._store.take_lapsed(self._driver_id, self._lease, _SWEEP_LIMIT)
            for claim in lapsed:
                self._rehydrated(claim.run_id)
            self.start(lapsed)


async def every(seconds: float, act: Callable[[], Awaitable[None]]) -> None:
    """Do it at once, and again and again.

    A database out of reach is for the next time; a defect is logged, and tried again.
    """
    while True:
        try:
            await act()
        except StoreUnavailable:
            pass
        except Exception:  # noqa: BLE001  # without the sweep, runs would wait for ever
            _log.exception("what is done every %g s failed", seconds)
        await asyncio.sleep(seconds)
