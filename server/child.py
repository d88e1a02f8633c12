"""One of several server processes behind one socket. The parent starts it:

python -m hitl_orchestrator.server.child LISTENER CONTROL TELLS

The first two are open files. It says there when it is up, sweeps when it is its turn, and ends when
its parent is gone. TELLS is 1 for the one that lists what was loaded, else 0.
"""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from threading import Thread

import uvloop

from hitl_orchestrator.domain.errors import OrchestratorError
from hitl_orchestrator.nodes.agents import Agent
from hitl_orchestrator.server.loaded import tell_loaded
from hitl_orchestrator.server.parent import UP
from hitl_orchestrator.server.serving import serve_on
from hitl_orchestrator.server.settings import load_settings
from hitl_orchestrator.server.signals import end_with_zero
from hitl_orchestrator.server.telemetry import log_as_json
from hitl_orchestrator.server.terminal.command import fail
from hitl_orchestrator.server.turns import Turns


def main(listener: int, control: int, tells: int) -> None:
    log_as_json(sys.stderr)
    with socket.socket(fileno=listener) as listening, socket.socket(fileno=control) as parent:
        try:
            uvloop.run(serve(listening, parent, tells=bool(tells)))
        except OrchestratorError as error:
            fail(error.detail, 1)


async def serve(listener: socket.socket, parent: socket.socket, *, tells: bool) -> None:
    settings = load_settings()
    turns = Turns()

    def go_public(agents: Sequence[Agent]) -> None:
        if tells:
            tell_loaded(agents)
        parent.send(UP)

    with end_with_zero(settings.drain_seconds) as told:
        hear(parent, turns.come)
        await serve_on(listener, settings, told, go_public, turns.wait)


def hear(parent: socket.socket, come: Callable[[], None]) -> None:
    """Hear of turns, and of the parent's end, in a thread: an agent may block the loop."""
    loop = asyncio.get_running_loop()

    def listen() -> None:
        while parent.recv(1):
            loop.call_soon_threadsafe(come)
        os.kill(os.getpid(), signal.SIGTERM)

    Thread(target=listen, daemon=True, name="hear the parent").start()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
