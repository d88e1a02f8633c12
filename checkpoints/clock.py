"""The database's clock, as far as a process believes it.

A claim is good until a time of that clock. Where it jumps (a laptop's lid, a resumed machine), all
claims seem to have run out at once, and everybody would take over what others are driving. So a
jump is believed only once everybody has had the time to renew what he drives.
"""

import time
from collections.abc import Callable
from datetime import datetime, timedelta

_DRIFT = timedelta(seconds=1)  # no jump: two readings are never quite the same


class DatabaseClock:
    """`settle_seconds`: how long everybody is given after a jump. `monotonic`: our own clock."""

    def __init__(
        self, settle_seconds: float, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._settle_seconds = settle_seconds
        self.monotonic = monotonic
        self._zero: datetime | None = None  # the database's time when our own clock was at 0
        self._jumped_at: float | None = None

    def read(self) -> datetime | None:
        """Return the time that is believed; None: any, since the database was never asked."""
        if self._zero is None:
            return None
        return self._zero + timedelta(seconds=self.monotonic())

    def observe(self, now: datetime, asked_at: float) -> None:
        """Take in what the database said when it was asked, by our own clock, at that moment."""
        zero = now - timedelta(seconds=asked_at)
        if self._zero is None or zero - self._zero < _DRIFT:
            self._zero, self._jumped_at = zero, None
        elif self._jumped_at is None:
            self._jumped_at = asked_at
        elif asked_at - self._jumped_at >= self._settle_seconds:
            self._zero, self._jumped_at = zero, None
