"""What the commands do that are no calls of the API."""

import asyncio
import sys
from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager
from datetime import timedelta

import uvloop

from hitl_orchestrator.checkpoints import audit, keys, retention
from hitl_orchestrator.checkpoints.migrate import check_migrated
from hitl_orchestrator.checkpoints.migrate import migrate as migrate_database
from hitl_orchestrator.checkpoints.pool import Connection, Pool, connection, connection_pool
from hitl_orchestrator.checkpoints.saver import BufferedSaver
from hitl_orchestrator.domain.errors import ConfigurationError
from hitl_orchestrator.domain.keys import Scope
from hitl_orchestrator.server.garbage import spare_what_stays
from hitl_orchestrator.server.loaded import tell_loaded
from hitl_orchestrator.server.preflight import check_unfinished
from hitl_orchestrator.server.services import all_agents, open_place, open_services
from hitl_orchestrator.server.settings import Settings, load_settings
from hitl_orchestrator.server.signals import end_with_zero
from hitl_orchestrator.server.steering import drop_steering
from hitl_orchestrator.server.telemetry import log_as_json


def work(concurrency: int) -> None:
    log_as_json(sys.stderr)
    uvloop.run(_work(load_settings(), concurrency))


async def _work(settings: Settings, concurrency: int) -> None:
    if settings.dispatch != "queue":
        raise ConfigurationError(
            "HITL_DISPATCH is `inline`: the server drives the runs itself. "
            "Set HITL_DISPATCH=queue for both."
        )
    with end_with_zero(settings.drain_seconds) as told:
        async with (
            open_place(settings, needs_key=False) as place,
            open_services(place.settings) as services,
        ):
            _print(f"Driving runs from the queue, {concurrency} at a time.")
            tell_loaded(services.roster.local)
            spare_what_stays()
            await services.drive_queued(concurrency, told.event)


def migrate() -> None:
    async def run() -> None:
        async with _database(only_looks=False) as pool:
            applied = await migrate_database(pool, BufferedSaver(pool))
            _print("\n".join(applied) if applied else "The database is up to date.")

    asyncio.run(run())


def audit_verify(run_id: str | None) -> int:
    """Return the exit code; 0: every chain is whole."""

    async def run() -> int:
        broken = chains = entries = 0
        async with _database(only_looks=True) as pool, connection(pool) as conn:
            await check_migrated(pool)
            async for name, count, wrong in audit.verify(conn, run_id):
                chains, entries = chains + 1, entries + count
                if wrong:
                    broken += 1
                    _print(f"{name}: {wrong}")
        if run_id and not chains:
            raise ConfigurationError(f"There is no run {run_id}.")
        found = f"{broken} broken" if broken else "all whole"
        _print(f"{chains} chains, {entries} entries: {found}")
        return 1 if broken else 0

    return asyncio.run(run())


def preflight() -> int:
    """Return the exit code; 0: the agents here fit every run that has not ended."""

    async def run() -> int:
        settings = load_settings()
        agents = all_agents(settings)
        fitting = misfits = 0
        async with _database(only_looks=True) as pool:
            await check_migrated(pool)
            async for run_id, misfit in check_unfinished(pool, agents):
                _print(f"{run_id}: {misfit or 'fits'}")
                fitting, misfits = fitting + (not misfit), misfits + bool(misfit)
        _print(f"{fitting} runs fit the agents here, {misfits} would be held")
        return 1 if misfits else 0

    return asyncio.run(run())


def prune(older_than_days: float) -> None:
    async def run() -> None:
        async with _database(only_looks=True) as pool:
            await check_migrated(pool)
            pruned = await retention.prune(pool, timedelta(days=older_than_days))
            _print(f"{pruned} ended runs deleted, with their checkpoints.")

    asyncio.run(run())


def keys_add(name: str, scopes: Collection[Scope]) -> None:
    async def run() -> None:
        async with _keys() as conn:
            key = await keys.add(conn, name, scopes)
        _print(key)
        print(f"The key of {name}. It is not shown again.", file=sys.stderr)  # noqa: T201

    asyncio.run(run())


def keys_list() -> None:
    async def run() -> None:
        async with _keys() as conn:
            found = await keys.list_all(conn)
        _print("\n".join(map(_describe_key, found)) or "There are no keys but API_KEY.")

    asyncio.run(run())


def _describe_key(key: keys.KeptKey) -> str:
    since = f"since {key.created_at:%Y-%m-%d %H:%M} UTC"
    until = f", revoked {key.revoked_at:%Y-%m-%d %H:%M} UTC" if key.revoked_at else ""
    return f"{key.name}: {', '.join(key.scopes)}; {since}{until}"


def keys_revoke(name: str) -> None:
    async def run() -> None:
        async with _keys() as conn:
            if not await keys.revoke(conn, name):
                raise ConfigurationError(f"There is no key named {name}.")
        _print(f"The key of {name} opens nothing any more.")

    asyncio.run(run())


@asynccontextmanager
async def _keys() -> AsyncGenerator[Connection]:
    async with _database(only_looks=True) as pool:
        await check_migrated(pool)
        async with connection(pool) as conn:
            yield conn


@asynccontextmanager
async def _database(*, only_looks: bool) -> AsyncGenerator[Pool]:
    async with (
        open_place(load_settings(), needs_key=False, only_looks=only_looks) as place,
        connection_pool(place.settings.session_url, max_size=4) as pool,
    ):
        yield pool


def _print(text: str) -> None:
    print(drop_steering(text), flush=True)  # noqa: T201  # what a person at the terminal reads
