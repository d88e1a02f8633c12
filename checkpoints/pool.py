"""The connections to Postgres.

A database out of reach becomes our own error here, so that nobody else needs psycopg's.
"""

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from psycopg import AsyncConnection, OperationalError, ProgrammingError
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

from hitl_orchestrator.domain.errors import ConfigurationError, StoreUnavailable

Connection = AsyncConnection[DictRow]
Pool = AsyncConnectionPool[Connection]

ACQUIRE_TIMEOUT_SECONDS = 3.0
# A host that vanished without a goodbye is noticed within seconds; the kernel alone takes 15
# minutes.
VANISHED_HOST = {
    "connect_timeout": 5,
    "tcp_user_timeout": 10_000,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
}
# What we rely on, whatever the database's or the role's defaults are. They travel with the
# handshake: no statement is spent on them.
SESSION = {
    "client_encoding": "UTF8",
    "DateStyle": "ISO",  # psycopg reads no other
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "default_transaction_isolation": "read\\ committed",
    # a process frozen inside a transaction must not keep a run locked against who answers
    "idle_in_transaction_session_timeout": "10s",
}


def connection_pool(conninfo: str, *, max_size: int) -> Pool:
    """Return a closed pool in autocommit: `async with` opens it.

    A transaction is `async with conn.transaction()`. Statements are prepared from their fifth
    use on (psycopg's default): that halves Postgres' CPU time for a flush, as the stock saver's
    "at once" does, but leaves what runs once unprepared.
    """

    async def check(conn: Connection) -> None:
        try:
            # the server's last words, if it has closed the connection ...
            conn.pgconn.consume_input()
            # ... and then the end; psycopg's own check asks the server each time: a round trip,
            # 0.08 ms of CPU
            conn.pgconn.consume_input()
        except OperationalError:
            # A restart kills all of them. Trying them one by one, with psycopg's pauses in between,
            # took longer than the timeout.
            await pool.check()
            raise

    pool = Pool(
        add_session_settings(conninfo),
        connection_class=Connection,
        kwargs={"autocommit": True, "row_factory": dict_row, **VANISHED_HOST},
        min_size=1,
        max_size=max_size,
        open=False,
        check=check,
        timeout=ACQUIRE_TIMEOUT_SECONDS,
        # As long as somebody waits, and no longer: psycopg doubles its pauses, and the next to come
        # starts over with short ones.
        reconnect_timeout=ACQUIRE_TIMEOUT_SECONDS,
    )
    return pool


def add_session_settings(conninfo: str) -> str:
    """Return the address with our SESSION behind what its own `options` set."""
    own = conninfo_to_dict(conninfo).get("options") or os.environ.get("PGOPTIONS", "")
    ours = " ".join(f"-c {name}={value}" for name, value in SESSION.items())
    return make_conninfo(conninfo, options=f"{own} {ours}".strip())


async def check_reachable(conninfo: str) -> None:
    """Try once, before a pool goes on trying.

    Raise StoreUnavailable with the reason, or ConfigurationError.
    """
    try:
        # a password's own: what follows must not be told as a host
        if "@" in str(conninfo_to_dict(conninfo).get("host", "")):
            raise ProgrammingError
        address = add_session_settings(conninfo)
        async with await Connection.connect(address, connect_timeout=5):
            pass
    except OperationalError as error:
        if "unsupported startup parameter" in str(error):  # PgBouncer's words
            raise ConfigurationError(
                "DATABASE_URL leads to a pooler that passes no settings of a session on: "
                "it has to be the address of Postgres itself."
            ) from error
        raise StoreUnavailable(
            f"The database cannot be reached: {' '.join(str(error).split())}"
        ) from error
    except ProgrammingError as error:  # its text may quote the address, password and all
        raise ConfigurationError(
            "DATABASE_URL is not an address of Postgres; "
            "a password's special characters are written as %XX in it."
        ) from error


async def open_whole(conninfo: str) -> Connection:
    """Return a connection in autocommit, for the caller to close. Raise OperationalError.

    Where the caller is cancelled meanwhile the handshake ends by itself: psycopg leaves one that is
    cancelled half open until Python collects its garbage, and for that long, or for a minute
    (authentication_timeout), Postgres cannot drop any database.
    """
    opening = asyncio.create_task(
        Connection.connect(
            make_conninfo(add_session_settings(conninfo), **VANISHED_HOST),
            autocommit=True,
            row_factory=dict_row,
        )
    )
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(_finish)
        raise


def _finish(opened: "asyncio.Task[Connection]") -> None:
    if not opened.cancelled() and opened.exception() is None:
        opened.result().pgconn.finish()


@asynccontextmanager
async def connection(pool: Pool) -> AsyncGenerator[Connection]:
    """Lend a connection. Raise StoreUnavailable when the database cannot be reached.

    Also when it goes away in between, or asks to try again (deadlock, full).
    """
    try:
        async with pool.connection() as conn:
            yield conn
    except OperationalError as error:
        raise StoreUnavailable("The database cannot be reached now.") from error
