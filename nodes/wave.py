"""Which steps of a run are at work side by side, and which of them only wait for who is elsewhere.

A run is not let go while one of its steps works: who raises in a superstep breaks off the others.
"""

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar

from hitl_orchestrator.domain.context_variables import Having


class Wave:
    """The steps of one run, by their ids."""

    def __init__(self) -> None:
        self._at_work = set[str]()
        self._stuck = set[str]()

    def begin(self, step_id: str) -> None:
        self._at_work.add(step_id)

    def end(self, step_id: str) -> None:
        self._at_work.discard(step_id)
        self._stuck.discard(step_id)

    def mark(self, step_id: str, is_stuck: bool) -> None:
        """Say that a step waits for who will not come here; or that it does not any more."""
        if is_stuck:
            self._stuck.add(step_id)
        else:
            self._stuck.discard(step_id)

    @property
    def works(self) -> bool:
        """Tell whether there is a step that is not stuck."""
        return bool(self._at_work - self._stuck)


_current: ContextVar[Wave | None] = ContextVar("wave", default=None)


@contextmanager
def joining(step_id: str) -> Generator[None]:
    """Let a step be at work inside."""
    wave = _current.get()
    if wave is None:
        yield
        return
    wave.begin(step_id)
    try:
        yield
    finally:
        wave.end(step_id)


def is_held_up(step_id: str, is_stuck: bool) -> bool:
    """Note whether the step waits in vain; tell whether nothing else of the run works then."""
    wave = _current.get()
    if wave is not None:
        wave.mark(step_id, is_stuck)
    return is_stuck and not (wave and wave.works)


def watching(wave: Wave) -> AbstractContextManager[None]:
    """Count what works inside."""
    return Having(_current, wave)
