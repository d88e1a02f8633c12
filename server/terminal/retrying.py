"""How long a call is tried again while nobody answers."""

import time

from hitl_orchestrator.server.terminal.errors import ClientError

RETRY_SECONDS, LONGEST_RETRY_SECONDS = 0.25, 2.0


class RetryTime:
    """The time that is left in one spell of failures."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._pause = RETRY_SECONDS
        self._until: float | None = None

    def wait(self, failure: ClientError) -> None:
        """Sleep before the next try, or raise the failure if the spell has been too long."""
        now = time.monotonic()
        self._until = self._until or now + self._seconds
        if now + self._pause > self._until:
            raise failure
        time.sleep(self._pause)
        self._pause = min(2 * self._pause, LONGEST_RETRY_SECONDS)
