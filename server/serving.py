"""Serve: the listening socket, uvicorn, and what a person at the terminal is told."""

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from contextlib import (
    AbstractContextManager,
    ExitStack,
    asynccontextmanager,
    contextmanager,
    nullcontext,
)
from tempfile import TemporaryDirectory
from types import FrameType

import uvicorn
import uvloop

from hitl_orchestrator.domain.errors import ConfigurationError
from hitl_orchestrator.nodes.agents import Agent
from hitl_orchestrator.server.announcement import announce
from hitl_orchestrator.server.app import create_app
from hitl_orchestrator.server.changes import Changes
from hitl_orchestrator.server.garbage import spare_what_stays
from hitl_orchestrator.server.loaded import tell_loaded
from hitl_orchestrator.server.orchestrator import Orchestrator
from hitl_orchestrator.server.parent import Parent, write_environment
from hitl_orchestrator.server.services import Place, open_place
from hitl_orchestrator.server.settings import Settings, check_serving, load_settings
from hitl_orchestrator.server.signals import Told, end_with_zero
from hitl_orchestrator.server.steering import drop_steering
from hitl_orchestrator.server.telemetry import log_as_json

BACKLOG = 2048
CHILDREN_SECONDS = 1.0  # more than each of several processes has to end
EMBEDDED_PROCESSES = 8  # of at most 23 connections; it takes 200
STREAMS_END_SECONDS = 2  # of patience with open streams at the end; clients reconnect

# of those that listen everywhere, where this machine finds them
EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104


def serve(host: str | None, port: int | None, processes: int, *, reload: bool = False) -> int:
    """Serve until a signal says to end; the arguments win over the settings.

    `reload`: start again when a file of the agents changes.
    Return the exit code: of several processes one may not have ended as it should.
    """
    settings = load_settings()
    changes = {"host": host or settings.host, "port": settings.port if port is None else port}
    settings = settings.model_copy(update=changes)
    check_serving(settings)
    log_as_json(sys.stderr)
    if processes > 1 or reload:
        return uvloop.run(_keep(settings, processes, Changes(settings.agents) if reload else None))
    uvloop.run(_serve(settings))
    return 0


async def _serve(settings: Settings) -> None:
    with (
        _listen(settings.host, settings.port) as listener,
        end_with_zero(settings.drain_seconds) as told,
    ):
        async with open_place(settings, needs_key=True) as place:
            with ExitStack() as public:

                def go_public(agents: Sequence[Agent]) -> None:
                    public.enter_context(_announce(place, listener))
                    _tell(place, listener)
                    tell_loaded(agents)

                await serve_on(listener, place.settings, told, go_public)


async def _keep(settings: Settings, processes: int, changes: Changes | None) -> int:
    with (
        _listen(settings.host, settings.port) as listener,
        end_with_zero(settings.drain_seconds + CHILDREN_SECONDS) as told,
        TemporaryDirectory(prefix="hitl-metrics-") as metrics,
    ):
        listener.listen(BACKLOG)
        async with open_place(settings, needs_key=True) as place:
            if place.data and processes > EMBEDDED_PROCESSES:
                raise ConfigurationError(
                    f"The embedded Postgres has connections for {EMBEDDED_PROCESSES} processes, "
                    f"not for {processes}: set DATABASE_URL to a Postgres of yours."
                )
            with ExitStack() as public:

                def go_public() -> None:
                    public.enter_context(_announce(place, listener))
                    _tell(place, listener, processes)

                environment = write_environment(place.settings, metrics)
                parent = Parent(listener, environment, told.event)
                if changes is None:
                    return await parent.keep(processes, go_public)
                _print(f"Watching {', '.join(map(str, changes.places)) or 'nothing'} for changes.")
                return await parent.renew(changes.wait, go_public, _print)


async def serve_on(
    listener: socket.socket,
    settings: Settings,
    told: Told,
    up: Callable[[Sequence[Agent]], object],
    wait_turn: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Serve until told to end. `settings` say where the database is, and have a key.

    `up`: called once it takes calls, with the agents that were loaded.
    `wait_turn`: the pause between two sweeps.
    """
    app = create_app(settings, wait_turn)
    config = uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # what proxies say is for BehindProxy, which believes few
        backlog=BACKLOG,
        timeout_graceful_shutdown=STREAMS_END_SECONDS,
    )
    # Not in uvicorn's hands: what stops the start is to be one line, and draining comes after the
    # last connection.
    async with app.router.lifespan_context(app):
        hitl: Orchestrator = app.state.hitl
        server = _Server(config, lambda: up(hitl.loaded), hitl.end_waits, told.tell)
        spare_what_stays()
        async with _ending_when_told(server, told):
            await server.serve(sockets=[listener])


@asynccontextmanager
async def _ending_when_told(server: uvicorn.Server, told: Told) -> AsyncGenerator[None]:
    """End it also where the word came before it heard any: while the process was starting."""

    async def end() -> None:
        await told.event.wait()
        server.should_exit = True

    ending = asyncio.create_task(end())
    try:
        yield
    finally:
        ending.cancel()


class _Server(uvicorn.Server):
    """Says that it is up once it is; sends home who waits before it closes their connections."""

    def __init__(
        self,
        config: uvicorn.Config,
        up: Callable[[], object],
        down: Callable[[], None],
        told: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self._up, self._down, self._told = up, down, told

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._told()
        super().handle_exit(sig, frame)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._up()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._down()
        await super().shutdown(sockets)


def _tell(place: Place, listener: socket.socket, processes: int = 1) -> None:
    address = _write_address(listener)
    if place.data and place.data.moved_from:
        _print(f"Postgres cannot reach {place.data.moved_from}: the data is in {place.data.path}.")
    _print(f"HITL Orchestrator: {address}   Inbox: {address}/inbox   API: {address}/docs")
    database = f"embedded Postgres in {place.data.path}" if place.data else "DATABASE_URL"
    key = "API_KEY of the environment" if place.key_file is None else str(place.key_file)
    _print(f"Database: {database}   Key: {key}")
    if processes > 1:
        _print(f"{processes} processes serve it.")
    if place.settings.openai_api_key is None:
        _print("No OPENAI_API_KEY: planner and specialists work offline, by rules.")
    if place.settings.dispatch == "queue":
        _print("HITL_DISPATCH=queue: runs are driven by `hitl work`.")


@contextmanager
def _listen(host: str, port: int) -> Generator[socket.socket]:
    """Bind before anything else starts, so that a used port leaves nothing half-started."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # With the protocol named, asyncio sets TCP_NODELAY: 40 ms an answer.
        listener = socket.socket(*family[:3])
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(family[4])
    except OSError as error:
        raise ConfigurationError(
            f"Cannot listen on {host}:{port}: {error.strerror or error}. "
            "Set HOST or PORT to another."
        ) from error
    with contextlib.closing(listener):
        yield listener


def _write_address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _announce(place: Place, listener: socket.socket) -> AbstractContextManager[None]:
    """Leave the address where the client commands beside an embedded server find it."""
    if place.data is None:
        return nullcontext()
    address = _write_address(listener)
    for every, own in EVERY_ADDRESS.items():
        address = address.replace(f"//{every}:", f"//{own}:")
    return announce(place.data.path, address)


def _print(text: str) -> None:
    print(drop_steering(text), flush=True)  # noqa: T201
