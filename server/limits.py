"""How many long-lived calls a client may hold at once.

Each costs a place in memory and now and then a look at the database.
"""

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

STREAMS, WAITING_CALLS = 64, 512  # a client, in a process
WITHOUT_KEY = 8  # calls of a path, in a process


class OpenPlaces:
    """The places for what needs no key, so many a path: strangers must not take the server's time.

    A path's own, so that who holds those of the pages leaves the probes alone.
    """

    def __init__(self, each: int = WITHOUT_KEY) -> None:
        self._each = each
        self._taken = Counter[str]()

    @contextmanager
    def taken_for(self, path: str) -> Generator[bool]:
        """Say whether there was a place."""
        has_place = self._taken[path] < self._each
        self._taken[path] += has_place
        try:
            yield has_place
        finally:
            self._taken[path] -= has_place
            if not self._taken[path]:
                del self._taken[path]


class Places:
    """The places for one kind of call. `what` is its name in the refusal, a 503."""

    def __init__(self, what: str, each: int) -> None:
        self._what, self._each = what, each
        self._taken = Counter[str]()

    @contextmanager
    def taken_by(self, caller: HTTPConnection) -> Generator[None]:
        client = caller.client.host if caller.client else ""
        if self._taken[client] >= self._each:
            raise HTTPException(503, f"This client has {self._each} {self._what} open already.")
        self._taken[client] += 1
        try:
            yield
        finally:
            self._taken[client] -= 1
            if not self._taken[client]:
                del self._taken[client]
