"""What a signal to end does to a process of ours."""

import signal
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def end_with_zero() -> Generator[None]:
    """Let the process end with 0: uvicorn and the worker raise the signal again that ended them."""
    ends = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, _ignore) for number in ends}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ignore(number: int, frame: FrameType | None) -> None:
    pass
