"""Who looks after the guard of an embedded Postgres: every process that uses the server.

The guard starts the server again when it dies; nobody did when both had been killed.
"""

import logging
import threading

from hitl_orchestrator.checkpoints.embedded.cluster import EmbeddedPostgresError
from hitl_orchestrator.checkpoints.embedded.postgres import EmbeddedPostgres

LOOK_SECONDS = 1.0

_log = logging.getLogger("hitl.postgres")


class Keeper:
    """A thread that starts the server again, with a new guard, when both are gone."""

    def __init__(self, postgres: EmbeddedPostgres) -> None:
        self._postgres = postgres
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Return when the thread has ended: a start that is under way is waited for."""
        self._ending.set()
        self._thread.join()

    def _keep(self) -> None:
        while not self._ending.wait(LOOK_SECONDS):
            try:
                if self._postgres.revive():
                    _log.warning("the embedded Postgres had died with its guard: started again")
            except EmbeddedPostgresError as error:
                _log.warning("%s", error.detail)
