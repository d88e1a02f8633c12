"""Serve: the listening socket, uvicorn, and what a person at the terminal is told."""

import contextlib
import socket
import sys
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import FrameType

import uvicorn
import uvloop

from hitl_orchestrator.domain.errors import ConfigurationError
from hitl_orchestrator.server.announcement import announce
from hitl_orchestrator.server.api.app import create_app
from hitl_orchestrator.server.garbage import spare_what_stays
from hitl_orchestrator.server.services import Place, open_place
from hitl_orchestrator.server.settings import Settings, check_serving, load_settings
from hitl_orchestrator.server.signals import end_with_zero
from hitl_orchestrator.server.steering import drop_steering
from hitl_orchestrator.server.telemetry import log_as_json

BACKLOG = 2048
STREAMS_END_SECONDS = 2  # of patience with open streams at the end; clients reconnect

# of those that listen everywhere, where this machine finds them
EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104


def serve(host: str | None, port: int | None) -> None:
    """Serve until a signal says to end; the arguments win over the settings."""
    settings = load_settings()
    changes = {"host": host or settings.host, "port": settings.port if port is None else port}
    settings = settings.model_copy(update=changes)
    check_serving(settings)
    log_as_json(sys.stderr)
    uvloop.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    with (
        _listen(settings.host, settings.port) as listener,
        end_with_zero(settings.drain_seconds) as told,
    ):
        async with open_place(settings, needs_key=True) as place:
            address = f"http://{_write_address(listener)}"
            app = create_app(place.settings)
            config = uvicorn.Config(
                app,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                backlog=BACKLOG,
                timeout_graceful_shutdown=STREAMS_END_SECONDS,
            )
            # Not in uvicorn's hands: what stops the start is to be one line, and draining comes
            # after the last connection.
            async with app.router.lifespan_context(app):
                with _announce(place, address):
                    server = _Server(
                        config, lambda: _tell(address, place), app.state.hitl.end_waits, told.tell
                    )
                    spare_what_stays()
                    await server.serve(sockets=[listener])


class _Server(uvicorn.Server):
    """Says that it is up once it is; sends home who waits before it closes their connections."""

    def __init__(
        self,
        config: uvicorn.Config,
        up: Callable[[], None],
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


def _tell(address: str, place: Place) -> None:
    if place.data and place.data.moved_from:
        _print(f"Postgres cannot reach {place.data.moved_from}: the data is in {place.data.path}.")
    _print(f"HITL Orchestrator: {address}   API: {address}/docs")
    database = f"embedded Postgres in {place.data.path}" if place.data else "DATABASE_URL"
    key = "API_KEY of the environment" if place.key_file is None else str(place.key_file)
    _print(f"Database: {database}   Key: {key}")
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
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _announce(place: Place, address: str) -> AbstractContextManager[None]:
    """Leave the address where the client commands beside an embedded server find it."""
    if place.data is None:
        return nullcontext()
    for every, own in EVERY_ADDRESS.items():
        address = address.replace(f"//{every}:", f"//{own}:")
    return announce(place.data.path, address)


def _print(text: str) -> None:
    print(drop_steering(text), flush=True)  # noqa: T201
