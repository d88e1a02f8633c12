"""The time that an agent has does not run while its memory is waited for."""

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Protocol

from hitl_orchestrator.domain.context_variables import Having


class TimeLimit(Protocol):
    """The time that a visit of an agent may take."""

    def pause(self) -> AbstractContextManager[None]:
        """Let no time pass inside."""
        ...


_current: ContextVar[TimeLimit | None] = ContextVar("time_limit", default=None)


def limited_by(limit: TimeLimit) -> AbstractContextManager[None]:
    """Let it be the limit of what works inside."""
    return Having(_current, limit)


@contextmanager
def paused_time() -> Generator[None]:
    """Let no time pass of the limit there is, if there is one."""
    if (limit := _current.get()) is None:
        yield
        return
    with limit.pause():
        yield
