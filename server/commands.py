"""What the commands do that are not calls of the API: serve, work, migrate, verify the audit,
prune.
"""

import asyncio
import contextlib
import json
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from types import FrameType

import uvicorn

from hitl_orchestrator.checkpoints import audit, retention
from hitl_orchestrator.checkpoints.migrate import check_migrated
from hitl_orchestrator.checkpoints.migrate import migrate as migrate_database
from hitl_orchestrator.checkpoints.pool import Pool, connection, connection_pool
from hitl_orchestrator.checkpoints.saver import BufferedSaver
from hitl_orchestrator.domain.errors import ConfigurationError
from hitl_orchestrator.server.api.app import create_app
from hitl_orchestrator.server.services import Place, open_place, open_services
from hitl_orchestrator.server.settings import Settings, check_serving, load_settings
from hitl_orchestrator.server.telemetry import log_as_json

BACKLOG = 2048
# of patience with open streams at the end; clients reconnect and miss nothing
STREAMS_END_SECONDS = 2


def serve(host: str | None, port: int | None) -> None:
    settings = load_settings()
    settings = settings.model_copy(
        update={"host": host or settings.host, "port": settings.port if port is None else port}
    )
    check_serving(settings)
    log_as_json(sys.stderr)
    asyncio.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    with _listening(settings.host, settings.port) as listener, _ends_well():
        async with open_place(settings, needs_key=True) as place:
            address, app = f"http://{_shown(listener)}", create_app(place.settings)
            config = uvicorn.Config(
                app, lifespan="off", log_config=None, access_log=False, server_header=False, backlog=BACKLOG,
                timeout_graceful_shutdown=STREAMS_END_SECONDS,
            )  # fmt: skip
            # Not in uvicorn's hands: what stops the start is to be one line, and draining comes
            # after the last connection.
            async with app.router.lifespan_context(app):
                with _announced(place, address):
                    await _Server(
                        config, lambda: _say(address, place), app.state.hitl.end_waits
                    ).serve(sockets=[listener])


class _Server(uvicorn.Server):
    """Says that it is up once it is; at the end it sends home who waits, before it closes their
    connections.
    """

    def __init__(
        self, config: uvicorn.Config, up: Callable[[], None], down: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._up, self._down = up, down

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._up()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._down()
        await super().shutdown(sockets)


def _say(address: str, place: Place) -> None:
    if place.data and place.data.moved_from:
        _print(f"Postgres cannot reach {place.data.moved_from}: the data is in {place.data.path}.")
    _print(f"HITL Orchestrator: {address}   API: {address}/docs")
    where = "API_KEY of the environment" if place.key_file is None else str(place.key_file)
    _print(
        f"Database: {'embedded Postgres in ' + str(place.data.path) if place.data else 'DATABASE_URL'}   Key: {where}"
    )
    if place.settings.openai_api_key is None:
        _print("No OPENAI_API_KEY: planner and specialists work offline, by rules.")
    if place.settings.dispatch == "queue":
        _print("HITL_DISPATCH=queue: runs are driven by `hitl work`.")


@contextmanager
def _listening(host: str, port: int) -> Generator[socket.socket]:
    """Bound before anything else starts, so that a used port leaves nothing half-started."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # with the protocol named, asyncio sets TCP_NODELAY: 40 ms an answer
        listener = socket.socket(*family[:3])
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(family[4])
    except OSError as error:
        raise ConfigurationError(
            f"Cannot listen on {host}:{port}: {error.strerror or error}. Set HOST or PORT to another."
        ) from error
    with contextlib.closing(listener):
        yield listener


def _shown(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@contextmanager
def _announced(place: Place, address: str) -> Generator[None]:
    """Where the client commands beside an embedded server find it."""
    if place.data is None:
        yield
        return
    file = place.data.path / "server.json"
    file.write_text(json.dumps({"url": address}), "utf-8")
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


@contextmanager
def _ends_well() -> Generator[None]:
    """uvicorn and the worker raise the signal again that ended them; the process is to end with
    0.
    """
    before = {number: signal.signal(number, _heard) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _heard(number: int, frame: FrameType | None) -> None:
    """Nothing more to do about it."""


def work(concurrency: int) -> None:
    log_as_json(sys.stderr)
    asyncio.run(_work(load_settings(), concurrency))


async def _work(settings: Settings, concurrency: int) -> None:
    if settings.dispatch != "queue":
        raise ConfigurationError(
            "HITL_DISPATCH is `inline`: the server drives the runs itself. Set HITL_DISPATCH=queue for both."
        )
    with _ends_well():
        async with (
            open_place(settings, needs_key=False) as place,
            open_services(place.settings) as services,
        ):
            _print(f"Driving runs from the queue, {concurrency} at a time.")
            await services.drive_queued(concurrency)


def migrate() -> None:
    async def run() -> None:
        async with _database() as pool:
            applied = await migrate_database(pool, BufferedSaver(pool))
            _print("\n".join(applied) if applied else "The database is up to date.")

    asyncio.run(run())


def audit_verify(run_id: str | None) -> int:
    """0: every chain is whole."""

    async def run() -> int:
        broken = chains = entries = 0
        async with _database() as pool, connection(pool) as conn:
            await check_migrated(pool)
            async for name, count, wrong in audit.verify(conn, run_id):
                chains, entries = chains + 1, entries + count
                if wrong:
                    broken += 1
                    _print(f"{name}: {wrong}")
        if run_id and not chains:
            raise ConfigurationError(f"There is no run {run_id}.")
        _print(
            f"{chains} chains, {entries} entries: {'all whole' if not broken else f'{broken} broken'}"
        )
        return 1 if broken else 0

    return asyncio.run(run())


def prune(older_than_days: float) -> None:
    async def run() -> None:
        async with _database() as pool:
            await check_migrated(pool)
            pruned = await retention.prune(pool, timedelta(days=older_than_days))
            _print(f"{pruned} ended runs deleted, with their checkpoints.")

    asyncio.run(run())


@asynccontextmanager
async def _database() -> AsyncGenerator[Pool]:
    async with (
        open_place(load_settings(), needs_key=False) as place,
        connection_pool(place.database_url, max_size=4) as pool,
    ):
        yield pool


def _print(text: str) -> None:
    print(text, flush=True)  # noqa: T201  # what a person at the terminal reads
