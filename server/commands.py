"""What the commands do that are no calls of the API."""

import asyncio
import secrets
import sys
from base64 import b64encode
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from datetime import timedelta

import uvloop

from hitl_orchestrator.checkpoints import audit, keys, retention, webhooks
from hitl_orchestrator.checkpoints.events import number_the_queue
from hitl_orchestrator.checkpoints.migrate import check_migrated
from hitl_orchestrator.checkpoints.migrate import migrate as migrate_database
from hitl_orchestrator.checkpoints.pool import Connection, Pool, connection, connection_pool
from hitl_orchestrator.checkpoints.saver import BufferedSaver
from hitl_orchestrator.domain.errors import ConfigurationError
from hitl_orchestrator.domain.keys import Scope
from hitl_orchestrator.domain.webhooks import (
    PREFIX,
    Endpoint,
    KeptEndpoint,
    check_address,
    read_events,
)
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
        counted = _count(chains, "chain", "chains"), _count(entries, "entry", "entries")
        _print(f"{', '.join(counted)}: {found}")
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
        _print(
            f"{_count(fitting, 'run fits', 'runs fit')} the agents here, {misfits} would be held"
        )
        return 1 if misfits else 0

    return asyncio.run(run())


def prune(older_than_days: float) -> None:
    async def run() -> None:
        async with _database(only_looks=True) as pool:
            await check_migrated(pool)
            pruned = await retention.prune(pool, timedelta(days=older_than_days))
            deleted = _count(pruned, "ended run", "ended runs")
            _print(f"{deleted} deleted, with their checkpoints.")

    asyncio.run(run())


def keys_add(name: str, scopes: Collection[Scope]) -> None:
    async def run() -> None:
        async with _existing_database() as conn:
            key = await keys.add(conn, name, scopes)
        _print(key)
        print(f"The key of {name}. It is not shown again.", file=sys.stderr)  # noqa: T201

    asyncio.run(run())


def keys_list() -> None:
    async def run() -> None:
        async with _existing_database() as conn:
            found = await keys.list_all(conn)
        _print("\n".join(map(_describe_key, found)) or "There are no keys but API_KEY.")

    asyncio.run(run())


def _describe_key(key: keys.KeptKey) -> str:
    since = f"since {key.created_at:%Y-%m-%d %H:%M} UTC"
    until = f", revoked {key.revoked_at:%Y-%m-%d %H:%M} UTC" if key.revoked_at else ""
    return f"{key.name}: {', '.join(key.scopes)}; {since}{until}"


def keys_revoke(name: str) -> None:
    async def run() -> None:
        async with _existing_database() as conn:
            if not await keys.revoke(conn, name):
                raise ConfigurationError(f"There is no key named {name}.")
        _print(f"The key of {name} opens nothing any more.")

    asyncio.run(run())


def webhooks_add(url: str, events: Collection[str]) -> None:
    settings = load_settings()
    check_address(url, may_be_private=settings.webhooks_private)
    secret = f"{PREFIX}{b64encode(secrets.token_bytes(32)).decode()}"

    async def run() -> None:
        async with _existing_database() as conn:
            cursor = await number_the_queue(conn)  # what was before is not told
            name = f"webhook_{secrets.token_hex(8)}"
            wanted = read_events(events)
            await webhooks.add(conn, Endpoint(name, url, secret, wanted, None, cursor))
        _print(f"{name}\n{secret}")
        print("By this secret the notices are signed. It is not shown again.", file=sys.stderr)  # noqa: T201

    asyncio.run(run())


def webhooks_list() -> None:
    async def run() -> None:
        async with _existing_database() as conn:
            found = await webhooks.list_all(conn)
        _print("\n".join(map(_describe_endpoint, found)) or "There are no webhooks.")

    asyncio.run(run())


def _describe_endpoint(one: KeptEndpoint) -> str:
    told = [f"{one.endpoint_id}: {one.url}", ", ".join(one.events) or "all events"]
    if one.disabled_at is not None:
        told.append(f"disabled ({one.last_error})")
    elif one.attempts:
        until = f"{one.next_try_at:%Y-%m-%d %H:%M:%S} UTC"
        told.append(f"{one.last_error} (try {one.attempts}), again at {until}")
    if one.waiting:
        told.append(f"{one.waiting} not told yet")
    if one.dead_letters:
        told.append(f"given up: {', '.join(map(str, one.dead_letters))}")
    return "; ".join(told)


def webhooks_enable(endpoint_id: str) -> None:
    _change_endpoint(endpoint_id, webhooks.enable, "is told again, from where it was.")


def webhooks_remove(endpoint_id: str) -> None:
    _change_endpoint(endpoint_id, webhooks.remove, "is told nothing more.")


def webhooks_replay(endpoint_id: str, seq: int) -> None:
    async def replay(conn: Connection, name: str) -> bool:
        return await webhooks.replay(conn, name, seq)

    _change_endpoint(endpoint_id, replay, f"is told again from number {seq} on.")


def _change_endpoint(
    endpoint_id: str, change: Callable[[Connection, str], Awaitable[bool]], done: str
) -> None:
    async def run() -> None:
        async with _existing_database() as conn:
            if not await change(conn, endpoint_id):
                raise ConfigurationError(f"There is no webhook {endpoint_id}.")
        _print(f"{endpoint_id} {done}")

    asyncio.run(run())


@asynccontextmanager
async def _existing_database() -> AsyncGenerator[Connection]:
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


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _print(text: str) -> None:
    print(drop_steering(text), flush=True)  # noqa: T201  # what a person at the terminal reads
