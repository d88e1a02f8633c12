"""The connections to Postgres.

A database out of reach becomes our own error here, so that nobody else needs psycopg's.
"""

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from types import MappingProxyType
from typing import NamedTuple

from psycopg import AsyncConnection, Error, OperationalError, ProgrammingError
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.errors import LockNotAvailable, QueryCanceled
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

from hitl_orchestrator.domain.errors import ConfigurationError, StoreUnavailable

_log = logging.getLogger("hitl.pool")

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
# A person does not wait for ever: for a row that somebody has locked, or for a list of millions.
CALLS = {"lock_timeout": "5s", "statement_timeout": "15s"}
# A heartbeat or a sweep that waits for one row would let the claims of all others run out.
KEEPING = {"lock_timeout": "1s", "statement_timeout": "15s"}
# What a pooler in between is told by, and what is told about it.
SHOW_SETTING = "SELECT current_setting(%s) AS value"
KEPT_SETTING = "idle_in_transaction_session_timeout"
TRIES = 3
NO_SETTINGS = (
    "DATABASE_URL leads to a pooler that passes no settings of a session on: "
    "it has to be the address of Postgres itself."
)
NO_SESSIONS = (
    "DATABASE_URL leads to a pooler that gives each transaction another session "
    "(PgBouncer's pool_mode=transaction): it has to be the address of Postgres itself."
)
NOTHING: Mapping[str, str] = MappingProxyType({})
# What the session is to blame for, not what was asked of it, by SQLSTATE or its class. psycopg
# counts these among errors of the program.
UNUSABLE = (
    "0A000",  # "cached plan must not change result type", after an ALTER TABLE
    "25",  # a standby after a failover (25006), idle for too long in a transaction (25P03)
    "26",  # a prepared statement that is not there: a pooler, or a DEALLOCATE
    "34",  # the same of a cursor
    "42P03",
    "42P05",  # a prepared statement that is there already: a pooler
    "XX",  # "cache lookup failed", a page that cannot be read
)
# Errors of what was written, wherever and whenever it is written.
OF_THE_DATA = ("22", "23", "54")


class Pools(NamedTuple):
    """The connections of a process, by what waits for them.

    `calls`: what people and programs ask. `driving`: what runs write, and migrations.
    `keeping`: kept aside for heartbeats and sweeps, so that neither load nor a lock stops them.
    """

    calls: Pool
    driving: Pool
    keeping: Pool


@asynccontextmanager
async def open_pools(conninfo: str) -> AsyncGenerator[Pools]:
    """Open all pools of a server or worker: at most 20 connections."""
    async with AsyncExitStack() as stack:
        yield Pools(
            await stack.enter_async_context(connection_pool(conninfo, max_size=9, session=CALLS)),
            await stack.enter_async_context(connection_pool(conninfo, max_size=9)),
            await stack.enter_async_context(connection_pool(conninfo, max_size=2, session=KEEPING)),
        )


def connection_pool(conninfo: str, *, max_size: int, session: Mapping[str, str] = NOTHING) -> Pool:
    """Return a closed pool in autocommit: `async with` opens it. `session`: beside SESSION.

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
        add_session_settings(conninfo, session),
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


def add_session_settings(conninfo: str, session: Mapping[str, str] = NOTHING) -> str:
    """Return the address with our SESSION, and more, behind what its own `options` set."""
    own = conninfo_to_dict(conninfo).get("options") or os.environ.get("PGOPTIONS", "")
    ours = " ".join(f"-c {name}={value}" for name, value in {**SESSION, **session}.items())
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
        await _check_sessions(address)
    except OperationalError as error:
        if "unsupported startup parameter" in str(error):  # PgBouncer's words
            raise ConfigurationError(NO_SETTINGS) from error
        raise StoreUnavailable(
            f"The database cannot be reached: {' '.join(str(error).split())}"
        ) from error
    except ProgrammingError as error:  # its text may quote the address, password and all
        raise ConfigurationError(
            "DATABASE_URL is not an address of Postgres; "
            "a password's special characters are written as %XX in it."
        ) from error


async def _check_sessions(address: str) -> None:
    """Raise ConfigurationError where a connection is not a session of Postgres.

    A pooler tells a number of its own for the process that serves a connection.
    """
    async with await _open_plain(address) as one:
        if await _find_process(one) == one.info.backend_pid:
            return
        row = await (await one.execute(SHOW_SETTING, (KEPT_SETTING,))).fetchone()
        if row is None or row["value"] != SESSION[KEPT_SETTING]:
            raise ConfigurationError(NO_SETTINGS)
        async with await _open_plain(address) as other:
            if any([await _is_shared(one, other) for _ in range(TRIES)]):
                raise ConfigurationError(NO_SESSIONS)


async def _is_shared(one: Connection, other: Connection) -> bool:
    """Tell whether one process serves both, or two serve one: a pooler lends them for a while."""
    before = await _find_process(one)
    async with other.transaction():
        return before == await _find_process(other) or before != await _find_process(one)


async def _open_plain(address: str) -> Connection:
    return await Connection.connect(
        address, connect_timeout=5, autocommit=True, row_factory=dict_row, prepare_threshold=None
    )


async def _find_process(conn: Connection) -> int:
    row = await (await conn.execute("SELECT pg_backend_pid() AS process")).fetchone()
    return row["process"] if row else 0


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

    Also when it goes away in between, or asks to try again (deadlock, full), and when its session
    cannot be used any more: that one is dropped.
    """
    try:
        async with pool.connection() as conn:
            try:
                yield conn
            except Error as error:
                if _is_of(error, UNUSABLE):
                    await conn.close()
                raise
    except (LockNotAvailable, QueryCanceled) as error:
        raise StoreUnavailable("The database is too busy for this now.") from error
    except Error as error:
        if not isinstance(error, OperationalError) and not _is_of(error, UNUSABLE):
            raise
        raise StoreUnavailable("The database cannot be reached now.") from error


@contextmanager
def blaming_the_database() -> Generator[None]:
    """Raise StoreUnavailable for every error of the database but those of what was written.

    For who drives: a table that is away for a moment, or a right that was revoked, ends no run.
    """
    try:
        yield
    except Error as error:
        if _is_of(error, OF_THE_DATA):
            raise
        _log.exception("the database refused what a run needs; it is tried again")
        raise StoreUnavailable("The database refuses what it has to do now.") from error


def _is_of(error: Error, states: tuple[str, ...]) -> bool:
    return (error.sqlstate or "").startswith(states)
