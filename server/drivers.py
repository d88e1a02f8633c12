"""The drivers of this process.

Each claimed run is driven in the background, kept claimed, and given back on the way out.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Self
from uuid import uuid4

from langgraph.runtime import RunControl

from hitl_orchestrator.checkpoints.claims import Taker
from hitl_orchestrator.checkpoints.lifeline import Lifeline
from hitl_orchestrator.checkpoints.store import Store
from hitl_orchestrator.checkpoints.tasks import end_tasks
from hitl_orchestrator.checkpoints.transaction import PgTransaction
from hitl_orchestrator.domain.errors import Fenced, NotFound, StoreUnavailable, Unreadable
from hitl_orchestrator.domain.ports import Claim
from hitl_orchestrator.graph import runs
from hitl_orchestrator.graph.build import Graph
from hitl_orchestrator.graph.drive import drive
from hitl_orchestrator.nodes.calls import Calls, counting
from hitl_orchestrator.server.expiry import deny_expired
from hitl_orchestrator.server.fleet import Fleet
from hitl_orchestrator.server.places import RunPlaces

_log = logging.getLogger("hitl.drivers")

MAX_DRIVEN = 200  # at once in a process; further runs are left to others
SWEEP_SECONDS = 2.0  # an expired question is denied within 5 s of its time
MAX_ATTEMPTS = 5
BEATS_A_LEASE = 4
_SWEEP_LIMIT = 100
_SUSPECT_ATTEMPT = 3  # it has lost two drivers in a row, and is driven beside no other such run
_RETRY_SECONDS = 0.5
_LAST_SECONDS = 1.0  # of patience with each thing that has to end, once all were told to

Pause = Callable[[float], Awaitable[None]]  # of so many seconds
Requeue = Callable[[], Awaitable[None]]


@dataclass
class _Spell:
    """A run that is driven here. `is_told_to_stop`: by us; else it stops by what it does."""

    task: "asyncio.Task[None]"
    control: RunControl
    is_told_to_stop: bool = False
    told_at: float = -_LAST_SECONDS

    def stop(self) -> None:
        """Cancel it; again only after a while, which it may need to leave what it drives."""
        self.is_told_to_stop = True
        now = self.task.get_loop().time()
        if now - self.told_at >= _LAST_SECONDS:
            self.told_at = now
            self.task.cancel()

    def stop_soon(self) -> None:
        """Stop, from another thread."""
        self.task.get_loop().call_soon_threadsafe(self.stop)


class Drivers:
    """Opened by `async with`.

    `fleet` is told that this process lives, and says what it should drive after a deploy; None:
    nothing is ever plugged in otherwise.
    `requeue`: with a queue, what is done about runs that nobody drives; None: this process
    takes them itself. `rehydrated` is told which.
    `places`: how many it drives at once; further ones it leaves, or gives back.
    `max_attempts`: a run that has lost that many drivers in a row ends `failed`.
    `wait_turn`: the pause between two sweeps; of several processes one sweeps at a time.
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
        max_attempts: int = MAX_ATTEMPTS,
        places: RunPlaces | None = None,
        wait_turn: Pause = asyncio.sleep,
    ) -> None:
        self.graph = graph
        self._store = store
        self._fleet = fleet
        self._takes_jobs = False
        self._driver_id = driver_id
        self._requeue = requeue
        self._rehydrated = rehydrated
        self._lease = timedelta(seconds=claim_seconds)
        self._drain_seconds = drain_seconds
        self._max_attempts = max_attempts
        self._driven: dict[Claim, _Spell] = {}
        self._token = uuid4().hex  # of the next sweep
        self._unreadable = set[str]()  # runs of a newer version, which are not taken again
        self._calls: dict[str, Calls] = {}  # by run, of those driven here or still working
        self._lingering: dict[str, asyncio.Task[None]] = {}
        self._places = places or RunPlaces(MAX_DRIVEN)
        self._passing = set[asyncio.Task[None]]()
        self._loops: list[asyncio.Task[None]] = []
        self._draining = False
        self.ending: Callable[[], None] = lambda: None  # called when it begins to drain
        self._wait_turn = wait_turn

    async def __aenter__(self) -> Self:
        beat_seconds = self._lease.total_seconds() / BEATS_A_LEASE
        if self._fleet:
            await self._fleet.sign_on()
        self._loops = [
            asyncio.create_task(every(beat_seconds, self._beat, lambda: False)),
            asyncio.create_task(every(beat_seconds, self.report, self._is_draining)),
            # neither waits for the other, nor ends with its errors
            asyncio.create_task(self._sweep(self._take_over)),
            asyncio.create_task(self._sweep(self._end_questions)),
            asyncio.create_task(every(0, self._take_when_told, self._is_draining)),
        ]
        return self

    async def __aexit__(self, *error: object) -> None:
        """Drain: running waves reach their flush, or are given up after the grace period.

        What is left is free for others. Nothing is waited for without a bound.
        """
        self._draining = True
        self.ending()
        await end_tasks(*self._loops[1:], within_seconds=_LAST_SECONDS)
        for spell in self._driven.values():
            spell.control.request_drain()
        tasks = [spell.task for spell in self._driven.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=self._drain_seconds)
        late = [*self._driven.values()]
        if error[0] is None:  # else nobody told us to end, and who knows which run is to blame
            for spell in late:
                spell.stop()
        ending = [*(spell.task for spell in late), *self._loops, *self._lingering.values()]
        stuck = await end_tasks(*ending, within_seconds=_LAST_SECONDS)
        for task in stuck:
            _log.warning("%s does not end, and is left alone", task.get_name())
        if self._fleet:
            signing_off = asyncio.create_task(self._fleet.sign_off())
            await asyncio.wait([signing_off], timeout=_LAST_SECONDS)
            await end_tasks(signing_off, within_seconds=_LAST_SECONDS)

    async def _sweep(self, act: Callable[[], Awaitable[None]]) -> None:
        await every(SWEEP_SECONDS, act, self._is_draining, self._wait_turn)

    def _is_draining(self) -> bool:
        return self._draining

    @property
    def alive(self) -> bool:
        return not self._draining and not any(loop.done() for loop in self._loops)

    def start(self, claims: Sequence[Claim]) -> None:
        """Drive what this process has claimed, in the background."""
        for claim in claims:
            if not self._places.take():
                passing = asyncio.create_task(self._pass_on(claim))
                self._passing.add(passing)
                passing.add_done_callback(self._passing.discard)
                continue
            control = RunControl()
            if self._draining:
                control.request_drain()
            task = asyncio.create_task(self._drive(claim, control), name=f"drive {claim.run_id}")
            self._driven[claim] = _Spell(task, control)
            task.add_done_callback(lambda _, claim=claim: self._end_spell(claim))

    def _end_spell(self, claim: Claim) -> None:
        self._driven.pop(claim, None)
        self._places.give_back()

    async def _pass_on(self, claim: Claim) -> None:
        """Give back what this process has no place for, and let others know at once."""
        with suppress(StoreUnavailable):
            await self._store.pass_on(claim)

    @asynccontextmanager
    async def transaction(self, *, keeps: bool = False) -> AsyncGenerator[PgTransaction]:
        """Give a transaction, and drive what it claimed once it is committed. `keeps`: a sweep's.

        Also where nobody knows whether it was: the reply to a COMMIT may be lost. Who drives looks
        first whether the claim is there.
        """
        tx: PgTransaction | None = None
        try:
            async with self._store.transaction(keeps=keeps) as tx:
                yield tx
        finally:
            if tx is not None:
                self.start(tx.claims)

    @asynccontextmanager
    async def alone(self, *, puts_off: bool = False) -> AsyncGenerator[PgTransaction]:
        """Give what writes once, by one statement; and drive what that claimed, as above.

        `puts_off`: as in `Store.alone`.
        """
        tx: PgTransaction | None = None
        try:
            async with self._store.alone(puts_off=puts_off) as tx:
                yield tx
        finally:
            if tx is not None:
                self.start(tx.claims)

    async def see_to_it(self, run_id: str) -> None:
        """Drive the run if nobody does, and if it is for this process to do.

        With a queue the job is in the transaction that ordered it.
        """
        if self._requeue is not None or self._draining or self.drives(run_id):
            return
        if claim := await self._store.take(Claim(run_id, uuid4().hex), self._taker):
            self.start([claim])

    async def drive_to_rest(self, run_id: str) -> None:
        """Claim the run, if nobody drives it, and drive it until it pauses, ends or is given up."""
        # An answer may come before the spell that asked has heard of its COMMIT. Who takes the job
        # for done then, or from itself, leaves the run to nobody, or does its work twice.
        while spells := self._list_spells(run_id):
            await asyncio.wait([spell.task for spell in spells])
        claim = Claim(run_id, uuid4().hex)
        while not self._draining:
            # after a reply that was lost, by the same token
            with suppress(StoreUnavailable):
                if taken := await self._store.take(claim, self._taker):
                    self.start([taken])
                    if taken in self._driven:
                        await asyncio.wait([self._driven[taken].task])
                elif await self._store.leave(run_id):
                    self._suspect()
                return
            await asyncio.sleep(_RETRY_SECONDS)

    def drives(self, run_id: str) -> bool:
        return bool(self._list_spells(run_id))

    def _list_spells(self, run_id: str) -> list[_Spell]:
        return [spell for claim, spell in self._driven.items() if claim.run_id == run_id]

    @property
    def _taker(self) -> Taker:
        """This process as it takes claims now."""
        return Taker(
            self._driver_id,
            self._lease,
            self._store.offers,
            driven=[*self._unreadable, *(claim.run_id for claim in self._driven)],
            may_suspect=all(claim.attempt < _SUSPECT_ATTEMPT for claim in self._driven),
            believed=self._store.clock.read(),
        )

    def take_jobs(self) -> None:
        """From now on also take runs whose jobs went to processes without their agents."""
        self._takes_jobs = True

    def stop(self, run_id: str) -> None:
        """Stop driving a run at once: a person cancelled it, and its claim is gone already."""
        for spell in self._list_spells(run_id):
            spell.stop()

    async def _drive(self, claim: Claim, control: RunControl) -> None:
        calls = self._calls.setdefault(claim.run_id, Calls())
        gives_back = False
        try:
            with counting(calls):
                gives_back = await self._try_to_drive(claim, control, calls)
        except (Fenced, NotFound):
            _log.info("run %s is driven by another process", claim.run_id)
            gives_back = True
        except Unreadable as error:
            _log.warning("run %s is left to others: %s", claim.run_id, error.detail)
            self._unreadable.add(claim.run_id)
            gives_back = True
        except asyncio.CancelledError:
            gives_back = self._driven[claim].is_told_to_stop
            raise
        finally:
            with suppress(StoreUnavailable):
                await self._leave(claim, calls, gives_back)
            self._store.starts.settle(claim.run_id)

    async def _try_to_drive(self, claim: Claim, control: RunControl, calls: Calls) -> bool:
        """Drive the run, or end it where it cannot be driven. Return whether to give it back."""
        if claim.attempt > self._max_attempts:
            message = (
                f"Its process died {self._max_attempts} times in a row while it drove this run,"
                " which got no further."
            )
            return await self._fail(claim, message, calls)
        try:
            return not await drive(self.graph, self._store, claim, control)
        except (Fenced, NotFound, Unreadable):
            raise
        except Exception as error:  # noqa: BLE001
            # a defect: this run fails, and the others never notice
            _log.exception("driving run %s failed", claim.run_id)
            message = f"The orchestrator failed: {type(error).__name__}."
            return await self._fail(claim, message, calls)

    async def _fail(self, claim: Claim, message: str, calls: Calls) -> bool:
        """Return whether it was written. If not, another tries once the claim has run out."""
        try:
            async with self._store.transaction() as tx:
                await runs.fail(tx, claim, message, still_working=calls.are_running)
        except (Fenced, NotFound, Unreadable):
            raise
        except Exception:  # noqa: BLE001
            _log.exception("run %s cannot be ended", claim.run_id)
            return False
        return True

    async def _leave(self, claim: Claim, calls: Calls, gives_back: bool) -> None:
        """Give the claim back; where calls go on, see to it that everybody knows until they end.

        A spell that ended in a way it should not have is counted as one that died: its claim is
        left to run out.
        """
        await self._store.write_start(claim.run_id)
        if calls.are_running:
            if claim.run_id not in self._lingering:
                lingering = asyncio.create_task(self._linger(claim, calls))
                self._lingering[claim.run_id] = lingering
            if gives_back:
                await self._store.release(claim, None)
            await self._store.keep_working([claim.run_id], self._driver_id, self._lease)
            return
        self._forget(claim)
        if gives_back:
            await self._store.release(claim, self._driver_id)

    async def _linger(self, claim: Claim, calls: Calls) -> None:
        """Wait until nothing works for the run here any more, and say so."""
        await calls.wait_for_end()
        del self._lingering[claim.run_id]
        self._forget(claim)
        # a database out of reach: nobody keeps it working, so it will not seem so for long
        with suppress(StoreUnavailable):
            await self._store.release(claim, self._driver_id)

    def _forget(self, claim: Claim) -> None:
        run_id = claim.run_id
        if not [one for one in self._driven if one.run_id == run_id and one != claim]:
            self._calls.pop(claim.run_id, None)

    async def _beat(self) -> None:
        held = dict(self._driven)
        working = {*self._lingering}
        if held:
            kept = await self._store.beat([*held], self._lease)
            for claim, spell in held.items():
                if (claim.run_id, claim.token) not in kept:
                    spell.stop()
                    working.add(claim.run_id)
        if working:
            await self._store.keep_working([*working], self._driver_id, self._lease)

    def beat_from_thread(self, lifeline: Lifeline) -> set[str]:
        """Keep what is driven here while the loop stands still.

        Return the runs that were lost; once the loop turns their driving stops.
        """
        unwritten = self._store.starts.list_claims()
        held = {
            claim: spell
            for claim, spell in self._driven.copy().items()
            if (claim.run_id, claim.token) not in unwritten
        }
        lost = lifeline.renew([*held], [*self._lingering.copy()])
        for claim in lost:
            held[claim].stop_soon()
        return {claim.run_id for claim in lost}

    async def report(self) -> None:
        """Say that this process lives, and drive what can go on since others do or do not."""
        if self._fleet:
            async for claims in self._fleet.report():
                self.start(claims)

    def _suspect(self) -> None:
        """Have it looked whether a run has nobody who goes on with it."""
        if self._fleet:
            self._fleet.suspect()

    async def _end_questions(self) -> None:
        """Deny questions whose time is over."""
        async for claims in deny_expired(self._store, self._is_draining):
            self.start(claims)
            if claims:
                self._suspect()

    async def _take_over(self) -> None:
        """Take what nobody drives."""
        if self._requeue:
            await self._requeue()
        if not self._draining:
            await self._take_up()

    async def _take_when_told(self) -> None:
        """Take what nobody drives as soon as a place is free, or another process has none."""
        await self._places.wait()
        if not self._draining:
            await self._take_up()

    async def _take_up(self) -> None:
        """Take what nobody drives: with a queue, what its jobs do not bring back."""
        if (self._requeue and not self._takes_jobs) or not self._places.has_one():
            return
        take = self._store.take_left if self._requeue else self._store.take_lapsed
        limit = min(_SWEEP_LIMIT, self._places.free)
        taken = await take(self._token, self._taker, limit)
        self._token = uuid4().hex  # else the reply was lost, and the same are taken again
        for claim in taken:
            if not self._requeue:
                self._rehydrated(claim.run_id)
        self.start(taken)
        if len(taken) == limit:
            self._places.expect_more()


async def every(
    seconds: float,
    act: Callable[[], Awaitable[None]],
    has_ended: Callable[[], bool],
    pause: Pause = asyncio.sleep,
) -> None:
    """Do it at once, and again and again, until it has ended.

    A database out of reach is for the next time; a defect is logged, and tried again. A
    cancellation alone would not do: where psycopg_pool waits, Python 3.11 can lose it.
    """
    while not has_ended():
        try:
            await act()
        except StoreUnavailable:
            pass
        except Exception:  # noqa: BLE001  # without the sweep, runs would wait for ever
            _log.exception("what is done every %g s failed", seconds)
        if not has_ended():
            await pause(seconds)
