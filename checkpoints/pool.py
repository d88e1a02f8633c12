"""The connections to Postgres.

A database out of reach becomes our own error here, so that nobody else needs psycopg's.
"""

import logging
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any, NamedTuple, cast

from psycopg import DatabaseError, Error, InternalError, OperationalError, ProgrammingError
from psycopg.errors import LockNotAvailable, QueryCanceled
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from hitl_orchestrator.checkpoints.session import (
    VANISHED_HOST,
    Connection,
    LentConnection,
    Patience,
    PatientConnection,
    add_session_settings,
)
from hitl_orchestrator.domain.errors import StoreUnavailable

_log = logging.getLogger("hitl.pool")

ACQUIRE_TIMEOUT_SECONDS = 3.0
CLOSE_SECONDS = 1.0
# A person does not wait for ever: for a row that somebody has locked, or for a list of millions.
CALLS = Patience(lock_seconds=5, statement_seconds=15)
# Who drives tries again.
DRIVING = Patience(lock_seconds=15, statement_seconds=15)
# A heartbeat or a sweep that waits for one row, or for an answer that does not come, would let the
# claims of all others run out.
KEEPING = Patience(lock_seconds=1, statement_seconds=6)
# Migrations of large tables, and what is pruned.
LONG = Patience(lock_seconds=3600, statement_seconds=3600)
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
# Replies that psycopg (InternalError) or libpq can make nothing of, without an SQLSTATE. Where the
# postmaster is killed, Postgres says that the session ends, and PgBouncer says so once more:
# "received 2 results from command 'COMMIT'". For mistakes of ours psycopg has other classes.
UNINTELLIGIBLE = (InternalError, DatabaseError)
# Errors of what was written, wherever and whenever it is written.
OF_THE_DATA = ("22", "23", "54")


class Pool(AsyncConnectionPool[Connection]):
    """Its end is not waited for long: what it opens then may be out of reach.

    `siblings`: pools of the same database, itself among them.
    """

    siblings: "Sequence[Pool]" = ()

    async def close(self, timeout: float = CLOSE_SECONDS) -> None:  # noqa: ASYNC109  # psycopg's
        await super().close(timeout)

    async def replace_all(self) -> None:
        """Replace what was open before: where one got no answer the others would not either."""
        for pool in self.siblings or (self,):
            await pool.drain()


class Pools(NamedTuple):
    """The connections of a process, by what waits for them.

    `calls`: what people and programs ask. `driving`: what runs write. `keeping`: kept aside for
    heartbeats and sweeps, so that neither load nor a lock stops them.
    """

    calls: Pool
    driving: Pool
    keeping: Pool


@asynccontextmanager
async def open_pools(conninfo: str, *, is_lent: bool = False) -> AsyncGenerator[Pools]:
    """Open all pools of a server or worker: at most 20 connections."""

    def build(max_size: int, patience: Patience) -> Pool:
        return connection_pool(conninfo, max_size=max_size, patience=patience, is_lent=is_lent)

    pools = Pools(build(9, CALLS), build(9, DRIVING), build(2, KEEPING))
    async with AsyncExitStack() as stack:
        for pool in pools:
            await stack.enter_async_context(pool)
        for pool in pools:
            pool.siblings = pools
        yield pools


def connection_pool(
    conninfo: str, *, max_size: int, patience: Patience = LONG, is_lent: bool = False
) -> Pool:
    """Return a closed pool in autocommit: `async with` opens it.

    A transaction is `async with conn.transaction()`. Statements are prepared from their fifth
    use on (psycopg's default): that halves Postgres' CPU time for a flush, as the stock saver's
    "at once" does, but leaves what runs once unprepared.

    `is_lent`: by a pooler, for a transaction at a time. Then nothing is prepared: the next
    session does not have it, or has another's of that name.
    """
    how: dict[str, Any] = {"row_factory": dict_row, **VANISHED_HOST}
    if is_lent:
        how["prepare_threshold"] = None

    async def configure(conn: Connection) -> None:
        await conn.set_autocommit(True)
        ours = cast("PatientConnection", conn)
        ours.tell_silence = pool.replace_all
        await ours.begin(patience)

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
            await pool.drain()
            raise

    pool = Pool(
        conninfo if is_lent else add_session_settings(conninfo, patience.settings),
        connection_class=LentConnection if is_lent else PatientConnection,
        kwargs=how,
        min_size=1,
        max_size=max_size,
        open=False,
        configure=configure,
        check=check,
        timeout=ACQUIRE_TIMEOUT_SECONDS,
        # As long as somebody waits, and no longer: psycopg doubles its pauses, and the next to come
        # starts over with short ones.
        reconnect_timeout=ACQUIRE_TIMEOUT_SECONDS,
    )
    return pool


@asynccontextmanager
async def connection(pool: Pool) -> AsyncGenerator[Connection]:
    """Lend a connection. Raise StoreUnavailable when the database cannot be reached.

    Also when it goes away in between, or asks to try again (deadlock, full), and when its session
    cannot be used any more: that one is dropped.
    """
    try:
        # not `pool.connection()`, which commits: there is nothing to commit outside a transaction
        conn = await pool.getconn()
        try:
            yield conn
        except Error as error:
            if _is_of_the_session(error):
                await conn.close()
            raise
        finally:
            await pool.putconn(conn)
    except (LockNotAvailable, QueryCanceled) as error:
        raise StoreUnavailable("The database is too busy for this now.") from error
    except Error as error:
        if not isinstance(error, OperationalError) and not _is_of_the_session(error):
            raise
        raise StoreUnavailable("The database cannot be reached now.") from error


@contextmanager
def blaming_the_database() -> Generator[None]:
    """Raise StoreUnavailable for every error of the database but those of what was written.

    For who drives: a table that is away for a moment, or a right that was revoked, ends no run.
    What psycopg itself refuses is a mistake of ours: the next try would meet it, too.
    """
    try:
        yield
    except Error as error:
        is_ours = isinstance(error, ProgrammingError) and error.sqlstate is None
        if is_ours or _is_of(error, OF_THE_DATA):
            raise
        _log.exception("the database refused what a run needs; it is tried again")
        raise StoreUnavailable("The database refuses what it has to do now.") from error


def _is_of_the_session(error: Error) -> bool:
    """Return whether the session is to blame, and cannot be used any more."""
    if error.sqlstate is None:
        return type(error) in UNINTELLIGIBLE
    return _is_of(error, UNUSABLE)


def _is_of(error: Error, states: tuple[str, ...]) -> bool:
    return (error.sqlstate or "").startswith(states)
