"""Several server processes behind one listening socket, and the parent that keeps them.

Uvicorn's own supervisor would not do: it kills who does not answer within 5 s (an agent may block
that long), starts again at once whatever dies, and ends with 0 whatever happened.
"""

import asyncio
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle

from hitl_orchestrator.server.drivers import SWEEP_SECONDS
from hitl_orchestrator.server.settings import Settings

CHILD = "hitl_orchestrator.server.child"
UP = b"u"  # a child takes calls
TURN = b"t"  # a child is to sweep
LONG_SECONDS = 60.0  # who has lived that long did not die of its start
LEAST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 10.0
ENDED_BY_US = (0, -signal.SIGTERM)  # the latter while it started

_log = logging.getLogger("hitl.parent")


@dataclass(frozen=True)
class _Child:
    """`control`: its end is the child's, too."""

    process: asyncio.subprocess.Process
    control: socket.socket
    began: float

    async def is_up(self) -> bool:
        """Return whether it takes calls, as soon as it does, or has ended."""
        return await asyncio.get_running_loop().sock_recv(self.control, 1) == UP

    def give_turn(self) -> None:
        with suppress(OSError):  # it has died, or takes nothing in
            self.control.send(TURN)

    async def end(self) -> int:
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        return await self.process.wait()


class Parent:
    """Keeps its children until it is told to end; each ends by itself within its time."""

    def __init__(
        self, listener: socket.socket, environment: Mapping[str, str], told: asyncio.Event
    ) -> None:
        """`listener`: bound and listening. It is closed here once it is told to end."""
        self._listener = listener
        self._environment = {**os.environ, **environment}
        self._told = told
        self._children: dict[int, _Child] = {}

    async def keep(self, count: int, up: Callable[[], None]) -> int:
        """Return the exit code. `up` is called once all have started.

        The first starts alone: it brings the database up to date, and where it cannot start the
        others could not either. It has said why.
        """
        first = await self._start(0)
        is_up = asyncio.ensure_future(first.is_up())
        if await self._is_told_before(is_up):
            return int(await self._end(first) not in ENDED_BY_US)
        if not is_up.result():
            return await self._end(first)
        others = [await self._start(number) for number in range(1, count)]
        if not await self._is_told_before(asyncio.gather(*(one.is_up() for one in others))):
            up()
        turns = asyncio.create_task(self._give_turns())
        keeping = [self._keep(*one) for one in enumerate((first, *others))]
        codes = await asyncio.gather(*keeping)
        turns.cancel()
        return int(any(code not in ENDED_BY_US for code in codes))

    async def renew(
        self,
        change: Callable[[], Awaitable[object]],
        up: Callable[[], None],
        say: Callable[[str], None],
    ) -> int:
        """Keep one child, and start it anew after each change, until told to end. Return 0.

        One that has died, or cannot start (it has said why), is started at the next change. `up` is
        called once one has started.
        """
        is_public, turns = False, None
        while True:
            child = await self._start(0)
            turns = turns or asyncio.create_task(self._give_turns())
            changing = asyncio.ensure_future(change())
            is_up = asyncio.ensure_future(child.is_up())
            if not await self._is_told_before(is_up):
                if not is_up.result():
                    say("The server did not start; it tries again at the next change.")
                elif not is_public:
                    up()
                    is_public = True
            is_told = await self._is_told_before(changing)
            await self._end(child)
            if is_told:
                turns.cancel()
                return 0
            say("A file has changed: the server starts again.")

    async def _start(self, number: int) -> _Child:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            handed = self._listener.fileno(), theirs.fileno()
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", CHILD, *map(str, handed), str(int(number == 0))),
                env=self._environment,
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=handed,
            )
        self._children[number] = child = _Child(process, ours, time.monotonic())
        return child

    async def _keep(self, number: int, child: _Child) -> int:
        """Start another where it dies. Return the code of the one that was there at the end."""
        failures = 0
        while not await self._is_told_before(child.process.wait()):
            failures = 0 if time.monotonic() - child.began > LONG_SECONDS else failures + 1
            pause = min(LEAST_PAUSE_SECONDS * 2**failures, LONGEST_PAUSE_SECONDS)
            code = child.process.returncode
            _log.warning("a server process died (%s); another starts in %g s", code, pause)
            child.control.close()
            if await self._is_told_before(asyncio.sleep(pause)):
                return 0
            child = await self._start(number)
        self._listener.close()  # who comes now is refused, as by a server that ends
        return await self._end(child)

    async def _end(self, child: _Child) -> int:
        with child.control:
            return await child.end()

    async def _is_told_before(self, other: Awaitable[object]) -> bool:
        """Return whether the process was told to end before the other thing came."""
        waiting = asyncio.ensure_future(other)
        telling = asyncio.create_task(self._told.wait())
        try:
            await asyncio.wait([waiting, telling], return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            telling.cancel()
        return self._told.is_set()

    async def _give_turns(self) -> None:
        """Let one after the other sweep: one that stands still keeps the others from nothing."""
        for number in cycle([*self._children]):
            await asyncio.sleep(SWEEP_SECONDS)
            self._children[number].give_turn()


def write_environment(settings: Settings, metrics: str) -> Mapping[str, str]:
    """Return what the children read as their settings, beside what they inherit.

    `metrics`: the folder in which they count together.
    """
    key = settings.api_key.get_secret_value() if settings.api_key else ""
    return {
        "DATABASE_URL": settings.database_url or "",
        "API_KEY": key,
        "HOST": settings.host,
        "PORT": str(settings.port),
        "PROMETHEUS_MULTIPROC_DIR": metrics,
    }
