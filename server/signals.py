"""What a signal to end does to a process of ours."""

import asyncio
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from threading import Thread
from types import FrameType

ENDS = (signal.SIGTERM, signal.SIGINT)
AFTER_DRAINING_SECONDS = 4.5  # for all that is to be done besides; then the process ends anyway
KERNEL_SECONDS = 0.3

_log = logging.getLogger("hitl.signals")


class Told:
    """Whether the process was told to end. From then on it has `seconds`."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._event = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._is_told = False

    def tell(self) -> None:
        """Begin to end; for a signal handler, or a thread. A second time changes nothing."""
        if self._is_told:
            return
        self._is_told = True
        self._loop.call_soon_threadsafe(self._event.set)
        # the kernel ends it at last: no thread runs while code keeps Python's lock (a regular
        # expression that explodes)
        signal.setitimer(signal.ITIMER_REAL, self._seconds + KERNEL_SECONDS)
        # a thread: the loop may be what does not end
        Thread(target=self._end_anyway, daemon=True, name="end anyway").start()

    @property
    def event(self) -> asyncio.Event:
        """Return what is set once it was told, for who waits in the loop."""
        return self._event

    def _end_anyway(self) -> None:
        time.sleep(self._seconds)
        _log.error("something does not end within %g s: the process ends without it", self._seconds)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)


@contextmanager
def end_with_zero(drain_seconds: float) -> Generator[Told]:
    """Let the process end with 0 when it is told to, though uvicorn raises the signal again.

    Where anything does not end (an agent that swallows its cancellation, or blocks the loop) it
    ends with 1, shortly after `drain_seconds`.
    """
    told = Told(drain_seconds + AFTER_DRAINING_SECONDS)

    def tell(number: int, frame: FrameType | None) -> None:
        told.tell()

    before = {number: signal.signal(number, tell) for number in ENDS}
    try:
        with _listen_for_signals(told):
            yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _listen_for_signals(told: Told) -> Generator[None]:
    """Hear of a signal in a thread, too: no handler runs while the main thread is in C code."""
    hears, says = socket.socketpair()
    says.setblocking(False)

    def listen() -> None:
        while heard := hears.recv(1):
            if heard[0] in ENDS:
                told.tell()

    thread = Thread(target=listen, daemon=True, name="hear signals")
    thread.start()
    before = signal.set_wakeup_fd(says.fileno(), warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        says.close()
        thread.join()
        hears.close()
