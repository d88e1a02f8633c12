"""What keeps a process and its leases while its event loop stands still.

Synchronous, for a thread of its own, on a connection that is opened when it is needed.
"""

from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta

from psycopg import Connection, Error
from psycopg.conninfo import make_conninfo
from psycopg.rows import DictRow, dict_row

from hitl_orchestrator.checkpoints.claims import HEARTBEAT, KEEP_WORKING, list_held
from hitl_orchestrator.checkpoints.pool import KEEPING
from hitl_orchestrator.checkpoints.processes import KEEP_ALIVE
from hitl_orchestrator.checkpoints.session import VANISHED_HOST, add_session_settings
from hitl_orchestrator.domain.ports import Claim


class Lifeline:
    """Of the process `driver`. Whoever opened it by `renew` closes it."""

    def __init__(self, conninfo: str, driver: str, lease: timedelta) -> None:
        self._conninfo, self._driver, self._lease = conninfo, driver, lease
        self._conn: Connection[DictRow] | None = None

    def renew(self, held: Sequence[Claim], working: Sequence[str]) -> list[Claim]:
        """Keep the process alive, its claims, and the runs that it works for without driving them.

        Return the claims that were lost. A database out of reach is for the next time.
        """
        try:
            return self._renew(self._open(), held, working)
        except Error:
            self.close()
            return []

    def close(self) -> None:
        if self._conn:
            with suppress(Error):
                self._conn.close()
        self._conn = None

    def _open(self) -> Connection[DictRow]:
        if self._conn is None:
            self._conn = Connection[DictRow].connect(
                make_conninfo(
                    add_session_settings(self._conninfo, KEEPING.settings), **VANISHED_HOST
                ),
                autocommit=True,
                row_factory=dict_row,
                prepare_threshold=None,
            )
        return self._conn

    def _renew(
        self, conn: Connection[DictRow], held: Sequence[Claim], working: Sequence[str]
    ) -> list[Claim]:
        rows = conn.execute(HEARTBEAT, list_held(held, self._lease)).fetchall()
        kept = {(row["run_id"], row["claim_token"]) for row in rows}
        lost = [claim for claim in held if (claim.run_id, claim.token) not in kept]
        run_ids = [*working, *(claim.run_id for claim in lost)]
        about = {"run_ids": run_ids, "driver": self._driver, "lease": self._lease}
        conn.execute(KEEP_WORKING, about)
        conn.execute(KEEP_ALIVE, about)
        return lost
