"""The watch over the event loop: agents work in it, and one that blocks it stops everything else.

While the loop stands still a thread keeps what is driven here, says who blocks it, and interrupts
an agent whose time is over or whose run is not ours any more.
"""

import asyncio
import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection, Generator
from contextlib import contextmanager
from types import FrameType

from hitl_orchestrator.nodes.blocking import (
    Interrupted,
    Standing,
    Visits,
    may_interrupt,
)
from hitl_orchestrator.nodes.time_limit import VisitLimit

_log = logging.getLogger("hitl.loop")

PING_SECONDS = 0.5
BLOCKED_SECONDS = 1.0  # or half a beat, where that is shorter: the last one was a beat ago
SECOND_LOOK_SECONDS = 0.1  # a process that was frozen and awakes has a loop that is about to turn
LOOK_SECONDS = 0.25  # at a loop that stands still
TELL_SECONDS = (1, 10, 60, 600, 3600)  # the log is told again
MOST_BEAT_SECONDS = 2.0  # a cancel at another server is noticed by a beat
END_SECONDS = 0.5
# Its default is to be ignored, so that one that comes too late does no harm; Go uses it likewise.
INTERRUPT = signal.SIGURG

Beat = Callable[[], Collection[str]]


@contextmanager
def watch_loop(
    beat: Beat, beat_seconds: float, end: Callable[[], None], count: Callable[[float], None]
) -> Generator[None]:
    """Watch the running loop.

    `beat` keeps what is driven here, and returns the runs that are lost; `end` is called after the
    last of a number of beats: both in a thread. `count` is told for how long the loop stood still.

    Agents are interrupted by a signal, so only in the main thread of a process (where a loop runs
    in another, an agent that blocks it goes on until it ends), and only in Python code, and in C
    code that looks for signals. Code that keeps Python's lock (a regular expression that explodes)
    stops this thread too.
    """
    watch = _Watch(beat, beat_seconds, end, count)
    thread = threading.Thread(target=watch.stand, daemon=True, name="watch over the loop")
    with watch.interrupting():
        thread.start()
        try:
            yield
        finally:
            watch.stop()
            thread.join(END_SECONDS)


class _Watch:
    """Made in the loop's thread."""

    def __init__(
        self,
        beat: Beat,
        beat_seconds: float,
        end: Callable[[], None],
        count: Callable[[float], None],
    ) -> None:
        self._beat, self._beat_seconds, self._end = beat, beat_seconds, end
        self._count = count
        self._loop = asyncio.get_running_loop()
        self._visits = Visits(self._loop)
        self._thread_id = threading.get_ident()
        self._may_signal = threading.current_thread() is threading.main_thread()
        self._turned, self._ended = threading.Event(), threading.Event()
        self._target: VisitLimit | None = None  # who is to be interrupted
        self._before: object = None  # whose signal it was

    def stop(self) -> None:
        self._ended.set()
        self._turned.set()

    @contextmanager
    def interrupting(self) -> Generator[None]:
        with self._visits.noting(), self._hearing():
            yield

    @contextmanager
    def _hearing(self) -> Generator[None]:
        if not self._may_signal:
            yield
            return
        self._before = signal.signal(INTERRUPT, self._interrupt)
        try:
            yield
        finally:
            # else another watch has begun since, and asks this one
            if signal.getsignal(INTERRUPT) == self._interrupt:
                signal.signal(INTERRUPT, self._before)

    def stand(self) -> None:
        """Watch until told to stop."""
        half_a_beat = self._beat_seconds / 2
        patience = min(BLOCKED_SECONDS, half_a_beat)
        while not self._ended.wait(min(PING_SECONDS, half_a_beat)):
            self._turned.clear()
            asked_at = time.monotonic()
            try:
                self._loop.call_soon_threadsafe(self._turned.set)
            except RuntimeError:  # the loop is closed
                return
            turns = self._turned.wait(patience) or self._turned.wait(SECOND_LOOK_SECONDS)
            if not turns:
                self._stand_by(_Block(asked_at))

    def _stand_by(self, block: "_Block") -> None:
        """Do what is to be done until the loop turns again."""
        try:
            while not self._turned.is_set():
                self._look(block)
                self._turned.wait(min(LOOK_SECONDS, self._beat_seconds / 2))
        except Exception:  # noqa: BLE001  # the thread has to go on
            _log.exception("the watch over the event loop failed")
        finally:
            self._end()
            self._count(block.seconds)
        if not self._ended.is_set():
            block.tell_end()

    def _look(self, block: "_Block") -> None:
        frames = sys._current_frames()  # pyright: ignore[reportPrivateUsage]
        standing = self._visits.look(frames.get(self._thread_id))
        block.note(standing)
        if block.is_due(min(self._beat_seconds, MOST_BEAT_SECONDS)):
            block.lost |= {*self._beat()}
        visit = standing.visit
        if visit and (visit.is_over or visit.run_id in block.lost) and block.may_signal():
            self._signal(visit)

    def _signal(self, visit: VisitLimit) -> None:
        if self._may_signal:
            self._target = visit
            signal.pthread_kill(self._thread_id, INTERRUPT)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        """Raise Interrupted where the agent stands that is meant, and nowhere else.

        In the loop's thread and in the context of what runs there. A loop that has turned since
        needs no help.
        """
        target, self._target = self._target, None
        if target and not self._turned.is_set() and may_interrupt(frame, target):
            raise Interrupted
        if callable(self._before):
            self._before(number, frame)


class _Block:
    """A time through which the loop stands still. `lost`: the runs that were lost meanwhile."""

    def __init__(self, began: float) -> None:
        self._began = began
        self._standing = Standing(None, None)
        self._told = 0
        self._next_beat = self._next_signal = 0.0
        self.lost = set[str]()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def note(self, standing: Standing) -> None:
        """Say in the log who it is, at first and when it lasts."""
        self._standing = standing
        if standing.visit:
            standing.visit.blocked_at = standing.place
        if self._told < len(TELL_SECONDS) and self.seconds >= TELL_SECONDS[self._told]:
            self._told += 1
            _log.warning("loop_blocked", extra=self._describe())

    def tell_end(self) -> None:
        """Say that it is over, if it was said to have begun."""
        if self._told:
            _log.warning("loop_turns_again", extra=self._describe())

    def is_due(self, beat_seconds: float) -> bool:
        """Tell whether it is time for a beat; then the next is later."""
        now = time.monotonic()
        if now < self._next_beat:
            return False
        self._next_beat = now + beat_seconds
        return True

    def may_signal(self) -> bool:
        """Tell whether the last signal was long enough ago; an agent may have swallowed it."""
        now = time.monotonic()
        if now < self._next_signal:
            return False
        self._next_signal = now + BLOCKED_SECONDS
        return True

    def _describe(self) -> dict[str, object]:
        visit, place = self._standing
        about: dict[str, object] = {"seconds": round(self.seconds, 1), "place": place}
        if visit:
            about |= {"runId": visit.run_id, "stepId": visit.step_id, "originAgent": visit.agent}
        return about
