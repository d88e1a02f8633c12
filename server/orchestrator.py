"""The door: what people, agents and programs can ask of the orchestrator, one call each.

    async with Orchestrator.open(settings) as hitl:
        done = await hitl.start(NewRun(objective="Announce it"), wait_seconds=20)
        (question, *_) = done.run.requests
        ...
        await hitl.answer(RunRef(done.run.runId), question.requestId, [response], by)

Typed values go in; values of the domain come out, or its errors. Transactions, Idempotency-Keys,
dispatch, waking and waiting are inside. REST, inbox, other protocols, notebooks and tests use it.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from math import nan
from typing import NamedTuple, NoReturn, Self
from uuid import uuid4

from hitl_orchestrator.checkpoints import groups, keys, slack, webhooks
from hitl_orchestrator.checkpoints.kept import KeptRun
from hitl_orchestrator.checkpoints.migrate import check_migrated
from hitl_orchestrator.checkpoints.pool import connection
from hitl_orchestrator.checkpoints.summaries import Summaries
from hitl_orchestrator.checkpoints.transaction import Overtaken, PgTransaction
from hitl_orchestrator.domain.capability import Registry, default_outputs
from hitl_orchestrator.domain.checking import Checked, knowing
from hitl_orchestrator.domain.errors import (
    Conflict,
    Invalid,
    NotFound,
    OrchestratorError,
    RunHeld,
    StoreUnavailable,
)
from hitl_orchestrator.domain.hitl import (
    NOBODY,
    AnsweredRequest,
    By,
    HitlRequest,
    HitlResponse,
    QueueCounts,
    RequestStatus,
    Urgency,
)
from hitl_orchestrator.domain.keys import Caller
from hitl_orchestrator.domain.outside import (
    NewQuestion,
    OutsideAgent,
    has_ended_outside,
    tell_answer,
)
from hitl_orchestrator.domain.ports import (
    Frame,
    Once,
    Page,
    RunRef,
    WaitingRun,
    Wanted,
    WantedThreads,
)
from hitl_orchestrator.domain.records import JsonObject
from hitl_orchestrator.domain.run import NewRun, Run, RunStatus
from hitl_orchestrator.domain.slack import SlackMessage
from hitl_orchestrator.domain.state import RunSettings
from hitl_orchestrator.domain.webhooks import Callback, Endpoint, check_address
from hitl_orchestrator.graph import runs
from hitl_orchestrator.nodes.agents import Agent
from hitl_orchestrator.nodes.outside import read_objective
from hitl_orchestrator.server.drivers import Pause
from hitl_orchestrator.server.feeds import FRAMES_AT_ONCE, Batch
from hitl_orchestrator.server.outcomes import Outcome, read_outcome, read_wait, write_outcome
from hitl_orchestrator.server.services import Services, open_place, open_services
from hitl_orchestrator.server.settings import Settings
from hitl_orchestrator.server.waiting import AT_WORK, Waiting
from hitl_orchestrator.server.webhooks import Tell

# when a run rests, the first call with a key is about to be answered; whoever repeats it asks again
FIRST_CALL_SECONDS, FIRST_CALL_TRIES = 0.05, 20

ASK_SECONDS = 20.0  # until a question of an agent elsewhere has been put
TELL_SECONDS = 2.0  # until it has its answer, once that was given
NOT_YET_ASKED = (
    "The question is kept, and nobody has come to put it yet: send it again with the same"
    " Idempotency-Key. Without one it would be asked twice."
)
WAITS_SECONDS = 1.0  # at least: the first durable moment of a run comes before that
STOP_SECONDS = 1.0  # a driver hears at once of a cancel, and ends what can be ended

Wait = Callable[[str, float], Awaitable[Run]]  # a run's id and seconds
Act = Callable[[PgTransaction], Awaitable[str]]  # a use case; returns the run's id


class Done(NamedTuple):
    """`replayed`: it was done before, by a call with the same Idempotency-Key."""

    run: Run
    replayed: bool = False


class Readiness(NamedTuple):
    """`live_workers`: with a queue, how many processes take jobs from it.

    `held_runs`: how many wait for agents that are not plugged in.
    """

    held_runs: int
    live_workers: int | None = None


class Orchestrator:
    """Made by `open`. Every method raises StoreUnavailable when the database is out of reach.

    `once` names a call that must not be done twice: the second comes to what the first came to,
    an error too, or raises IdempotencyKeyReused.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._store = services.store
        self._fleet = services.fleet
        self._waiting = Waiting(services.wakeups)
        self._store.written = self._waiting.see
        self.summaries = Summaries(services.store.pool)
        self.elsewhere = services.elsewhere

    @classmethod
    @asynccontextmanager
    async def open(
        cls, settings: Settings, wait_turn: Pause = asyncio.sleep
    ) -> AsyncGenerator[Self]:
        """Open the database (an embedded one, if the settings name none) and start driving.

        Raise ConfigurationError. In the main thread an agent that blocks the event loop can be
        interrupted, by SIGURG; elsewhere it goes on until it ends, past its time limit.
        `wait_turn`: the pause between two sweeps, of several processes that take turns.
        """
        async with (
            open_place(settings, needs_key=False) as place,
            open_services(place.settings, wait_turn) as services,
        ):
            hitl = cls(services)
            try:
                yield hitl
            finally:
                hitl.end_waits()

    @property
    def loaded(self) -> Sequence[Agent]:
        """Return the agents of this process, in the order in which they are preferred."""
        return self._services.roster.local

    @property
    def is_ending(self) -> bool:
        """Return whether all streams and waits have been ended."""
        return self._waiting.stopped

    def end_waits(self) -> None:
        """End all streams, and answer everybody who waits as things are now."""
        self._waiting.stop()

    # What people decide

    async def start(
        self, new: NewRun, once: Once | None = None, wait_seconds: float = 0, by: By = NOBODY
    ) -> Done:
        """Start a run. Raise Invalid or ThreadBusy."""

        async def act(tx: PgTransaction) -> str:
            settings = self._choose_settings(new)
            return await runs.start(
                tx, self._services.roster.plugged.registry, settings, new.metadata, by
            )

        # who waits was promised nothing yet, and nobody else knows of a thread of our making
        puts_off = new.threadId is None and wait_seconds >= WAITS_SECONDS
        return await self._perform(act, once, wait_seconds, puts_off=puts_off)

    async def ask(
        self,
        asker: OutsideAgent,
        new: NewQuestion,
        once: Once | None = None,
        by: By = NOBODY,
        callback: Callback | None = None,
    ) -> Done:
        """Put a question of an agent elsewhere; its run has the request, or several.

        `callback`: is told how it ended.

        Raise Invalid: it cannot be asked. Raise StoreUnavailable where nobody has come to it yet;
        with the same Idempotency-Key it can be asked for again.
        """
        objective = read_objective(new, asker.name)
        settings = self._choose_settings(new.plan_run(objective, asker.name))
        if new.expiresInSeconds is not None:
            settings = settings.but(requestTtlSeconds=new.expiresInSeconds)
        group, outside = asker.group, self._services.roster.plugged.outside

        async def begin(tx: PgTransaction) -> str:
            if group is None:
                return await runs.start(tx, outside, settings, new.metadata, by)
            left = settings.maxHitlRequests - await groups.count_asked(tx.conn, group)
            limited = settings.but(maxHitlRequests=max(left, 0))
            run_id = await runs.start(tx, outside, limited, new.metadata, by)
            await groups.join(tx.conn, group, run_id)
            return run_id

        async def act(tx: PgTransaction) -> str:
            run_id = await begin(tx)
            if callback is not None:
                name = f"callback_{uuid4().hex}"
                endpoint = Endpoint(name, callback.url, callback.secret, (), run_id, 0)
                await webhooks.add(tx.conn, endpoint)
            return run_id

        if callback is not None:
            may_be_private = self._services.settings.webhooks_private
            check_address(callback.url, may_be_private=may_be_private)
            self._services.webhooks.expect()
        holds = group is not None or callback is not None
        done = await self._perform(act, once, ASK_SECONDS, holds=holds)
        if not done.run.requests:
            done = done._replace(run=await self.wait(done.run.runId, ASK_SECONDS))
        if not done.run.requests:
            raise StoreUnavailable(NOT_YET_ASKED)
        return done

    async def answer(
        self,
        ref: RunRef,
        request_id: str,
        responses: Sequence[HitlResponse],
        by: By,
        once: Once | None = None,
        wait_seconds: float = 0,
    ) -> Done:
        """Take all responses, or none. Raise as `graph.runs.answer` does."""

        async def perform(checked: Checked) -> Done:
            async def act(tx: PgTransaction) -> str:
                with knowing(checked):
                    return await runs.answer(tx, ref, request_id, responses, by, self._fleet.check)

            return await self._perform(act, once, wait_seconds)

        # what takes long to check is checked with no transaction open
        return await self._services.checks.settle(perform)

    async def deny(
        self,
        ref: RunRef,
        request_id: str,
        reason: str,
        by: By,
        once: Once | None = None,
        wait_seconds: float = 0,
    ) -> Done:
        """Deny one request; its run goes on. Raise as `answer` does."""

        async def act(tx: PgTransaction) -> str:
            return await runs.deny(tx, ref, request_id, reason, by, self._fleet.check)

        return await self._perform(act, once, wait_seconds)

    async def remove(
        self,
        ref: RunRef,
        request_id: str | None,
        reason: str,
        by: By,
        once: Once | None = None,
        wait_seconds: float = 0,
    ) -> Done:
        """Deny a request, the oldest if none is named, and cancel its run.

        Raise as `answer` does.
        """

        async def act(tx: PgTransaction) -> str:
            return await runs.remove(tx, ref, request_id, reason, by)

        done = await self._perform(act, once, wait_seconds)
        return await self._wait_for_stop(done, once)

    async def cancel(self, ref: RunRef, reason: str, by: By, once: Once | None = None) -> Done:
        """Stop a queued, running or paused run. Raise NotFound or RunEnded.

        The run is `stillWorking` where its work goes on: nobody can stop a synchronous agent.
        """

        async def act(tx: PgTransaction) -> str:
            return await runs.cancel(tx, ref, reason, by)

        return await self._wait_for_stop(await self._perform(act, once), once)

    async def retry(
        self, ref: RunRef, by: By, once: Once | None = None, wait_seconds: float = 0
    ) -> Done:
        """Let a failed run go on where it failed. Raise NotFound, RunNotFailed or ThreadBusy."""

        async def act(tx: PgTransaction) -> str:
            return await runs.retry(tx, ref, by)

        return await self._perform(act, once, wait_seconds)

    async def refuse(self, error: OrchestratorError, once: Once) -> NoReturn:
        """Raise an error found before the call was one, and keep it for its Idempotency-Key."""

        async def act(tx: PgTransaction) -> str:
            raise error

        await self._perform(act, once)
        raise error

    # What is there

    async def run(self, run_id: str, wait_seconds: float = 0) -> Run:
        """Return a run; with `wait_seconds`, once it has paused or ended. Raise NotFound."""
        return await self.wait(run_id, wait_seconds)

    async def wait(self, run_id: str, seconds: float) -> Run:
        """Return the run once it has paused or ended, or as it is after so many seconds."""
        return await self._waiting.wait_for_rest(self._store, run_id, seconds)

    async def runs(
        self,
        status: RunStatus | None = None,
        thread_id: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
        prefix: str | None = None,
    ) -> Page[Run]:
        """Return runs, newest first. Raise Invalid: a cursor that is none of ours.

        `prefix`: begins their ids.
        """
        return await self._store.newest(status, thread_id, limit, cursor, prefix)

    async def thread(self, thread_id: str) -> Run:
        """Return the thread's run that has not ended, else its newest. Raise NotFound."""
        return await self._store.show(RunRef(None, thread_id))

    async def has_asked_elsewhere(self, run: Run) -> bool:
        """Tell whether another run of its thread has asked anything."""
        return await self._store.has_asked_elsewhere(run.threadId, run.runId)

    async def threads(self, wanted: WantedThreads, offset: int, limit: int) -> list[Run]:
        """Return the run of each thread as `thread` does, the newest first."""
        return await self._store.threads(wanted, offset, limit)

    async def count_threads(self, wanted: WantedThreads) -> int:
        """Count threads, up to ten thousand."""
        return await self._store.count_threads(wanted)

    async def questions(
        self, wanted: WantedThreads, offset: int, limit: int
    ) -> list[tuple[Run, HitlRequest]]:
        """Return requests with their runs, as `requests` has them in order."""
        return await self._store.questions(wanted, offset, limit)

    async def count_questions(self, wanted: WantedThreads) -> int:
        """Count requests, up to ten thousand."""
        return await self._store.count_questions(wanted)

    async def request(self, request_id: str, wait_seconds: float = 0) -> AnsweredRequest:
        """Return a request with its responses and its answer. Raise NotFound.

        With `wait_seconds`, once it is not pending, or as it is after so many seconds.
        """
        until = asyncio.get_running_loop().time() + wait_seconds
        request = await self._waiting.wait_for_answer(self._store, request_id, wait_seconds)
        if not has_ended_outside(request):
            return request
        run = await self.wait(request.runId, TELL_SECONDS)
        left = until - asyncio.get_running_loop().time()
        if left > 0:  # others of the same payload may wait still
            run = await self._waiting.wait_for_end(self._store, request.runId, left)
        return tell_answer(request, run)

    async def requests(
        self,
        status: RequestStatus | None = None,
        agent: str | None = None,
        urgency: Urgency | None = None,
        text: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
        prefix: str | None = None,
    ) -> Page[HitlRequest]:
        """Return requests of all runs: pending ones as `pending` has them, then the newest.

        `text`: stands in the question, its context, or the action's name, in any case. `prefix`:
        begins their ids. Raise Invalid: a cursor that is none of ours.
        """
        wanted = Wanted(status, agent, urgency, text, prefix)
        return await self._store.requests(wanted, limit, cursor)

    async def counts(self) -> QueueCounts:
        """Count the pending requests of all runs."""
        return await self._store.count_pending()

    async def pending(
        self,
        agent: str | None = None,
        urgency: Urgency | None = None,
        thread_id: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[WaitingRun]:
        """Return paused runs, most urgent first, then oldest. Raise Invalid as `runs` does."""
        return await self._store.waiting(agent, urgency, thread_id, limit, cursor)

    @property
    def webhook_secret(self) -> str | None:
        """By which callbacks are signed that bring no secret of their own."""
        secret = self._services.settings.webhook_secret
        return secret.get_secret_value() if secret else None

    @property
    def capabilities(self) -> Registry:
        return self._services.roster.plugged.registry

    # Who calls

    async def identify(self, key: str) -> Caller | None:
        """Return who shows that key; None: it is nobody's, or was revoked."""
        async with connection(self._store.pool) as conn:
            return await keys.find(conn, key)

    async def identify_again(self, digest: str) -> Caller | None:
        """Return whose key that digest is of; None: it was revoked."""
        async with connection(self._store.pool) as conn:
            return await keys.find_again(conn, digest)

    async def has_started(self, caller: Caller, run_id: str) -> bool:
        async with connection(self._store.pool) as conn:
            starter = await keys.find_starter(conn, run_id=run_id)
        return starter is not None and starter == caller.name

    async def has_asked(self, caller: Caller, request_id: str) -> bool:
        """Return whether the caller started the run that asks."""
        async with connection(self._store.pool) as conn:
            starter = await keys.find_starter(conn, request_id=request_id)
        return starter is not None and starter == caller.name

    # What happens

    async def is_last_frame(self, run_id: str, seq: int) -> bool:
        """Return whether the run's stream ends with this frame; 0 stands before the first.

        Raise NotFound, or Invalid where the run has no such frame.
        """
        await self._store.frames(run_id, 0, 1)
        if seq == 0:
            return False
        found = await self._store.frames(run_id, seq - 1, 1)
        if not found or found[0].seq != seq:
            raise Invalid(f"`Last-Event-ID` {seq} is no event of run {run_id}.")
        return found[0].is_last

    async def frames(self, run_id: str, after: int = 0) -> AsyncGenerator[Frame]:
        """Yield a run's frames after that number, as they come, until the run's last."""
        batches = self.run_batches(run_id, after)
        try:
            async for batch in batches:
                for frame in batch:
                    yield frame
        finally:
            await batches.aclose()

    async def read_frames(self, run_id: str, limit: int) -> Batch:
        """Return a run's first frames, but for what its steps say while they work."""
        return await self._store.frames_without_progress(run_id, limit)

    async def read_newest_frames(self, run_id: str, limit: int) -> Batch:
        """Return a run's last frames, in their order."""
        return await self._store.newest_frames(run_id, limit)

    def run_batches(self, run_id: str, after: int = 0) -> AsyncGenerator[Batch]:
        """Yield what `frames` does, several at a time where they come together."""

        async def read(seq: int) -> Batch:
            return await self._store.frames(run_id, seq, FRAMES_AT_ONCE)

        return self._waiting.follow(run_id, read, after)

    def follow_to_rest(self, run_id: str, after: int = 0) -> AsyncGenerator[Batch | Run]:
        """Yield a run's frames after that number until it has paused or ended; then the run.

        Raise NotFound.
        """
        return self._waiting.follow_to_rest(self._store, run_id, after)

    def touches(self, run_id: str | None = None) -> AsyncGenerator[None]:
        """Yield at once, and whenever that run, or any, may have changed."""
        return self._waiting.touches(run_id)

    async def frames_after(self, run_id: str, after: int) -> Batch:
        """Return the next of a run's frames, as far as they are there. Raise NotFound."""
        return await self._store.frames(run_id, after, FRAMES_AT_ONCE)

    async def last_queue_frame(self) -> int:
        """Return the number of the newest frame of the queue; 0: there is none yet."""
        return await self._store.last_queue_frame()

    async def listen(self, name: str, where: str, events: Sequence[str], tell: Tell) -> None:
        """Have a function told of the queue's frames, in order, each at least once.

        From now on, or from where it was; by one of the servers that have it, as long as they live.
        `name`: its own; `where` and `events`: what lists say of it. `tell` raises Untold.
        """
        cursor = await self._store.last_queue_frame()
        async with connection(self._store.pool) as conn:
            await webhooks.add_listener(conn, Endpoint(name, where, "", events, None, cursor))
        self._services.webhooks.listen(name, tell)

    async def keep_slack_message(self, request_id: str, message: SlackMessage) -> None:
        """Keep where in Slack a question is shown, unless that is kept already."""
        async with connection(self._store.pool) as conn:
            await slack.keep(conn, request_id, message)

    async def find_slack_message(self, request_id: str) -> SlackMessage | None:
        async with connection(self._store.pool) as conn:
            return await slack.find(conn, request_id)

    def queue_batches(self, after: int, pause_seconds: float = 0.0) -> AsyncGenerator[Batch]:
        """Yield the frames of all runs' questions and ends after that number, as they come.

        `pause_seconds`: what comes within that time is yielded together, to all at the same moment.
        """

        async def read(seq: int) -> Batch:
            return await self._store.queue_frames(seq, FRAMES_AT_ONCE)

        return self._waiting.follow(None, read, after, pause_seconds)

    # How it is doing

    async def check_ready(self) -> Readiness:
        """Raise ConfigurationError or StoreUnavailable when no run could be driven here now."""
        await check_migrated(self._store.pool)
        held_runs = await self._store.count_held()
        if self._services.settings.dispatch == "queue":
            return Readiness(held_runs, await self._services.live_workers())
        if not self._services.drivers.alive:
            raise StoreUnavailable("The driver of this process has stopped.")
        return Readiness(held_runs)

    async def measure(self) -> bytes:
        """Return the metrics in Prometheus' text format; NaN for what is out of reach."""
        try:
            depth, oldest = await self._store.queue_depth()
            held: float = await self._store.count_held()
        except StoreUnavailable:
            depth, oldest, held = nan, nan, nan
        return self._services.telemetry.exposition(depth, oldest, held)

    def log(self, name: str, **fields: str | float | bool | None) -> None:
        """Write a line to the log of the process; what is None is left out."""
        self._services.telemetry.log(name, **fields)

    # Inside

    def _choose_settings(self, new: NewRun) -> RunSettings:
        defaults = self._services.settings
        limit = new.maxHitlRequests
        wanted = new.outputs or default_outputs(self.capabilities, defaults.default_outputs)
        return RunSettings(
            runId=f"run_{uuid4().hex}",
            threadId=new.threadId or f"thread_{uuid4().hex}",
            objective=new.objective,
            inputs=new.inputs,
            outputs=tuple(dict.fromkeys(wanted)),
            agents=None if new.agents is None else tuple(dict.fromkeys(new.agents)),
            maxHitlRequests=defaults.max_requests if limit is None else limit,
            hitlEnabled=defaults.hitl_enabled,
            requestTtlSeconds=defaults.request_ttl_seconds,
        )

    async def _perform(
        self,
        act: Act,
        once: Once | None,
        wait_seconds: float = 0,
        *,
        holds: bool = False,
        puts_off: bool = False,
    ) -> Done:
        """Do it as a whole; return what it came to once that is durable, or raise it.

        `holds`: it needs a transaction of its own, for what it holds until its end. `puts_off`: as
        in `Store.alone`.
        """
        if once is None and not holds and self._store.may_write_alone:
            written = await self._perform_alone(act, puts_off=puts_off)
            return Done(await self._wait_alone(written, wait_seconds))
        async with self._services.drivers.transaction() as tx:
            kept = await tx.find_outcome(once) if once else None
            outcome = read_outcome(kept) if kept else await _try(tx, act)
            if isinstance(outcome, RunHeld) and not kept:
                await self._fleet.hold(tx, outcome)
            if once and not kept:
                await tx.keep_outcome(once, write_outcome(outcome, wait_seconds))
        if once and kept:
            await self._see_to_it(kept)
            return _replay(await self._wait_for_first(once, kept))
        if isinstance(outcome, OrchestratorError):
            raise outcome
        if wait_seconds:
            outcome = await self._wait_after(outcome, once, self.wait, wait_seconds)
        return Done(outcome)

    async def _wait_alone(self, kept: KeptRun, seconds: float) -> Run:
        """Return the run at its rest, or as it is when the time is over."""
        run = kept.show()
        if seconds and self._services.drivers.drives(run.runId):
            with suppress(StoreUnavailable):
                run = await self._waiting.wait_for_drive(self._store, kept.run, seconds)
        elif seconds:
            run = await self._wait_after(run, None, self.wait, seconds)
        self._store.starts.check_written(run.runId)
        return run

    async def _perform_alone(self, act: Act, *, puts_off: bool = False) -> KeptRun:
        """Do it by one statement, and again where others were first: with each try one has done."""
        while True:
            try:
                async with self._services.drivers.alone(puts_off=puts_off) as tx:
                    run_id = await act(tx)
                return tx.kept[run_id]
            except Overtaken:
                continue
            except RunHeld as refused:
                async with self._services.drivers.transaction() as tx:
                    await self._fleet.hold(tx, refused)
                raise

    async def _see_to_it(self, kept: JsonObject) -> None:
        """Make sure that somebody drives the run of a call whose caller was not answered."""
        run = read_outcome(kept)
        if isinstance(run, Run) and run.status in AT_WORK:
            await self._services.drivers.see_to_it(run.runId)

    async def _wait_for_stop(self, done: Done, once: Once | None) -> Done:
        """Wait a moment for whoever drove the cancelled run to say that its work has ended."""
        if done.replayed or not done.run.stillWorking:
            return done

        async def wait(run_id: str, seconds: float) -> Run:
            return await self._waiting.wait_for_stop(self._store, run_id, seconds)

        return Done(await self._wait_after(done.run, once, wait, STOP_SECONDS))

    async def _wait_after(self, run: Run, once: Once | None, wait: Wait, seconds: float) -> Run:
        """What was asked for is done: a database out of reach only cuts the waiting short."""
        with suppress(StoreUnavailable):
            run = await wait(run.runId, seconds)
            if once:
                async with self._store.transaction() as tx:
                    await tx.keep_outcome(once, write_outcome(run))
        return run

    async def _wait_for_first(self, once: Once, kept: JsonObject) -> Outcome:
        """Return what the first call is answered, once it is.

        Where its process died before that: the run as it is when the call would have been answered.
        """
        run = read_outcome(kept)
        seconds = read_wait(kept)
        if seconds is None or not isinstance(run, Run):
            return run
        run = await self.wait(run.runId, seconds)
        tries = FIRST_CALL_TRIES if seconds else 1
        for _ in range(tries):
            async with self._store.transaction() as tx:
                kept = await tx.find_outcome(once) or kept
            if read_wait(kept) is None:
                return read_outcome(kept)
            await asyncio.sleep(FIRST_CALL_SECONDS)
        return run


async def _try(tx: PgTransaction, act: Act) -> Outcome:
    """Return the run as it will be, or why it was refused; then nothing is left of the try."""
    try:
        async with tx.savepoint():
            return tx.show(await act(tx))
    except (NotFound, Invalid, Conflict) as error:
        return error


def _replay(outcome: Outcome) -> Done:
    if isinstance(outcome, OrchestratorError):
        outcome.replayed = True
        raise outcome
    return Done(outcome, replayed=True)
