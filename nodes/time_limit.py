"""How long an agent may work at a visit. Waiting for the memory does not count."""

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress

from hitl_orchestrator.domain.time_limits import limited_by


@asynccontextmanager
async def limit_time(seconds: float | None) -> AsyncGenerator[None]:
    """Raise TimeoutError when what is inside takes longer; None: it may take for ever."""
    async with asyncio.timeout(seconds) as timeout:
        with limited_by(_PausableLimit(timeout)):
            yield


class _PausableLimit:
    """Implements domain.time_limits.TimeLimit. Several may pause it side by side."""

    def __init__(self, timeout: asyncio.Timeout) -> None:
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._pauses = 0
        self._left: float | None = None

    @contextmanager
    def pause(self) -> Generator[None]:
        if not self._pauses:
            self._stop()
        self._pauses += 1
        try:
            yield
        finally:
            self._pauses -= 1
            if not self._pauses:
                self._go_on()

    def _stop(self) -> None:
        until = self._timeout.when()
        self._left = None if until is None else until - self._loop.time()
        self._reschedule(None)

    def _go_on(self) -> None:
        if self._left is not None:
            self._reschedule(self._loop.time() + self._left)

    def _reschedule(self, when: float | None) -> None:
        with suppress(RuntimeError):  # it is over: by its time, or since the visit has ended
            self._timeout.reschedule(when)
