"""What the server works with, wired and opened in order: one function, read downward."""

import asyncio
import os
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from uuid import uuid4

from pydantic import SecretStr

from hitl_orchestrator.checkpoints import queue, retention
from hitl_orchestrator.checkpoints.addresses import check_addresses
from hitl_orchestrator.checkpoints.clock import DatabaseClock
from hitl_orchestrator.checkpoints.embedded.keeper import Keeper
from hitl_orchestrator.checkpoints.embedded.postgres import DataDir, EmbeddedPostgres, data_dir
from hitl_orchestrator.checkpoints.lifeline import Lifeline
from hitl_orchestrator.checkpoints.memories import open_memories
from hitl_orchestrator.checkpoints.migrate import check_migrated, migrate
from hitl_orchestrator.checkpoints.pool import (
    Pool,
    connection,
    connection_pool,
    open_pools,
)
from hitl_orchestrator.checkpoints.processes import Process
from hitl_orchestrator.checkpoints.saver import BufferedSaver
from hitl_orchestrator.checkpoints.store import Store
from hitl_orchestrator.checkpoints.tasks import end_tasks
from hitl_orchestrator.checkpoints.transaction import ClaimInline
from hitl_orchestrator.checkpoints.wakeups import Wakeups
from hitl_orchestrator.domain.errors import ConfigurationError, StoreUnavailable
from hitl_orchestrator.domain.events import Event
from hitl_orchestrator.domain.run import StoredRun
from hitl_orchestrator.graph.build import build
from hitl_orchestrator.nodes.agents import Agent, load_agents
from hitl_orchestrator.nodes.calls import ThreadACall
from hitl_orchestrator.nodes.checks import Checks
from hitl_orchestrator.nodes.inspection import Inspector
from hitl_orchestrator.nodes.model import build_chat_model
from hitl_orchestrator.nodes.outside import build_outside
from hitl_orchestrator.nodes.proposal import build_proposer
from hitl_orchestrator.server.drivers import BEATS_A_LEASE, Drivers, Pause, every
from hitl_orchestrator.server.elsewhere import ROSTER, Elsewhere, PgAssignments
from hitl_orchestrator.server.fleet import Fleet
from hitl_orchestrator.server.keyfile import generated_key
from hitl_orchestrator.server.numbering import NUMBER_SECONDS, Numbering
from hitl_orchestrator.server.places import RunPlaces
from hitl_orchestrator.server.roster import Plugged, Roster
from hitl_orchestrator.server.settings import Settings
from hitl_orchestrator.server.telemetry import Telemetry
from hitl_orchestrator.server.tracing import tracing
from hitl_orchestrator.server.watch import watch_loop
from hitl_orchestrator.server.webhooks import Webhooks

TIDY_SECONDS = 3600.0
END_SECONDS = 1.0  # of patience with what tidies up, when the process ends


@dataclass(frozen=True)
class Services:
    settings: Settings
    store: Store
    roster: Roster
    elsewhere: Elsewhere
    webhooks: Webhooks
    fleet: Fleet
    drivers: Drivers
    wakeups: Wakeups
    checks: Checks
    telemetry: Telemetry
    live_workers: Callable[[], Awaitable[int]]
    # with a queue: take jobs, so many at a time, until told to end
    drive_queued: Callable[[int, asyncio.Event], Awaitable[None]]


@asynccontextmanager
async def open_services(
    settings: Settings, wait_turn: Pause = asyncio.sleep
) -> AsyncGenerator[Services]:
    """Open everything, and close it in reverse. `settings` say where the database is.

    `wait_turn`: the pause between two sweeps.
    Raise ConfigurationError or StoreUnavailable.
    """
    model = build_chat_model(
        settings.openai_api_key, settings.openai_model, settings.openai_base_url
    )
    agents = all_agents(settings)
    asyncio.get_running_loop().set_default_executor(ThreadACall())
    database_url, session_url = settings.database_url or "", settings.session_url
    async with AsyncExitStack() as stack:
        pools = await stack.enter_async_context(open_pools(database_url, is_lent=settings.is_lent))
        saver = BufferedSaver(pools.driving, keeps_history=settings.history == "all")
        if settings.auto_migrate:
            async with connection_pool(session_url, max_size=2) as patient:
                await migrate(patient, BufferedSaver(patient))
        else:
            await check_migrated(pools.calls)
        telemetry = Telemetry(tracing())
        driver_id = f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"
        jobs = queue.queue(database_url, session_url)
        if queued := settings.dispatch == "queue":
            await stack.enter_async_context(jobs.open_async())
        checks = Checks()
        memories = await stack.enter_async_context(open_memories(pools.driving))
        propose = build_proposer(model) if model else None
        assignments = PgAssignments(pools.driving)
        roster = Roster(
            agents,
            lambda them: build(them, saver, propose, checks, memories, assignments),
            lambda them, away: Inspector(them, saver, away),
        )
        offers = roster.plugged.offers
        # a jump is believed once everybody has had two heartbeats
        clock = DatabaseClock(1.5 * settings.claim_seconds / BEATS_A_LEASE)
        places = RunPlaces(settings.max_driven)
        claiming = ClaimInline(driver_id, settings.claim_seconds, offers, clock, places.has_one)
        dispatch = queue.enqueueing(jobs) if queued else claiming
        numbering = Numbering()

        def committed(run: StoredRun, happened: Sequence[Event]) -> None:
            telemetry.committed(run, happened)
            numbering.note(happened)

        store = Store(pools.calls, saver, dispatch, committed, offers, pools.keeping, clock)
        fleet = Fleet(
            store,
            roster.plugged.inspector,
            Process(driver_id, frozenset(offers), drives=not queued),
            settings.claim_seconds,
        )

        def rehydrated(run_id: str) -> None:
            telemetry.log("run_rehydrated", runId=run_id)

        requeue = (
            (lambda: _requeue(store, jobs, settings.claim_seconds, rehydrated)) if queued else None
        )
        drivers = Drivers(
            roster.plugged.graph,
            store,
            driver_id,
            settings.claim_seconds,
            settings.drain_seconds,
            requeue,
            rehydrated,
            fleet,
            settings.max_attempts,
            places,
            wait_turn,
        )

        def plug(plugged: Plugged) -> None:
            store.offers = claiming.offers = plugged.offers
            fleet.plug(plugged.inspector, plugged.offers)
            drivers.graph = plugged.graph

        roster.plug, fleet.learn, drivers.ending = plug, roster.learn, assignments.end
        wakeups = await stack.enter_async_context(
            Wakeups(session_url, drivers.stop, places.look, pools.keeping, lambda: fleet.has_others)
        )
        assignments.wakeups = wakeups
        assignments.write_start = partial(store.write_start, drives=True)
        store.written = lambda written: wakeups.tell(written.run.runId)
        lease_seconds = settings.claim_seconds
        lifeline = Lifeline(session_url, driver_id, timedelta(seconds=lease_seconds))
        stack.enter_context(
            watch_loop(
                lambda: drivers.beat_from_thread(lifeline),
                lease_seconds / BEATS_A_LEASE,
                lifeline.close,
                telemetry.count_blocked,
            )
        )
        await stack.enter_async_context(drivers)
        tidying = asyncio.create_task(
            every(TIDY_SECONDS, lambda: _tidy(store, settings), lambda: False)
        )
        counting = asyncio.create_task(
            every(NUMBER_SECONDS, lambda: numbering.number(store), lambda: False)
        )
        learning = asyncio.create_task(_learn_when_told(wakeups, drivers))
        webhooks = Webhooks(store, settings.webhooks_private, lambda: fleet.has_webhooks)
        telling = asyncio.create_task(webhooks.keep_telling(wakeups))
        ending = tidying, counting, learning, telling
        stack.push_async_callback(end_tasks, *ending, within_seconds=END_SECONDS)

        async def drive_queued(concurrency: int, told_to_end: asyncio.Event) -> None:
            drivers.take_jobs()
            await fleet.start_driving(claiming)
            at_once = min(concurrency, settings.max_driven)
            await queue.work(jobs, drivers.drive_to_rest, at_once, told_to_end)

        yield Services(
            settings,
            store,
            roster,
            Elsewhere(pools.calls, wakeups, roster, drivers.report),
            webhooks,
            fleet,
            drivers,
            wakeups,
            checks,
            telemetry,
            lambda: _live_workers(pools.calls, jobs),
            drive_queued,
        )


def agents_of(settings: Settings) -> list[Agent]:
    """Load those of HITL_AGENTS, in its order: of two that make a facet the first is preferred."""
    return load_agents(settings.agents, settings)


def all_agents(settings: Settings) -> list[Agent]:
    """Return them with what is built in: all that a server or worker can drive."""
    return [*agents_of(settings), build_outside()]


async def _learn_when_told(wakeups: Wakeups, drivers: Drivers) -> None:
    """Learn at once of agents elsewhere that another process has registered."""
    with wakeups.subscribed(ROSTER) as told:
        while True:
            await told.wait()
            told.clear()
            with suppress(StoreUnavailable):  # then with the next report
                await drivers.report()


async def _tidy(store: Store, settings: Settings) -> None:
    await store.forget_old_keys()
    if settings.retention_days is None and settings.keep_history_days is None:
        return
    async with connection_pool(settings.session_url, max_size=1) as patient:
        if settings.retention_days is not None:
            await retention.prune(patient, timedelta(days=settings.retention_days))
        if settings.keep_history_days is not None:
            await retention.drop_history(patient, timedelta(days=settings.keep_history_days))


async def _requeue(
    store: Store, jobs: queue.App, claim_seconds: float, rehydrated: Callable[[str], None]
) -> None:
    await queue.revive_stalled(jobs)
    for run_id, _ in await store.lapsed(timedelta(seconds=claim_seconds), limit=100):
        if await queue.defer(jobs, None, run_id):
            rehydrated(run_id)


async def _live_workers(pool: Pool, jobs: queue.App) -> int:
    async with connection(pool) as conn:
        return await queue.live_workers(jobs, conn)


@dataclass(frozen=True)
class Place:
    """`settings` with the database and the key that are really used.

    And where they are kept, if embedded.
    """

    settings: Settings
    key_file: Path | None = None
    data: DataDir | None = None


@asynccontextmanager
async def open_place(
    settings: Settings, *, needs_key: bool, only_looks: bool = False
) -> AsyncGenerator[Place]:
    """Open DATABASE_URL, or the embedded Postgres beside whoever else uses it.

    `needs_key`: with a key made up, if none is set. `only_looks`: where there is no database none
    is made, and ConfigurationError says so.
    """
    if settings.database_url:
        await check_addresses(settings.database_url, settings.session_url)
        yield Place(settings)
        return
    if settings.listen_url:
        raise ConfigurationError(
            "HITL_LISTEN_URL is set, and DATABASE_URL is not: set both, or neither."
        )
    data = data_dir(settings.data_dir)
    embedded = EmbeddedPostgres(data.path)
    if only_looks and not embedded.cluster.exists():
        raise ConfigurationError(
            f"There is no database in '{data.path}', and none is made to look into: "
            "set HITL_DATA_DIR or DATABASE_URL to where it is."
        )
    url = await asyncio.to_thread(embedded.start)
    keeper = Keeper(embedded)
    try:
        key_file = data.path / "api_key" if needs_key and settings.api_key is None else None
        key = SecretStr(generated_key(key_file)) if key_file else settings.api_key
        yield Place(
            settings.model_copy(update={"database_url": url, "api_key": key}), key_file, data
        )
    finally:
        await asyncio.to_thread(keeper.stop)
        await asyncio.to_thread(embedded.stop)
