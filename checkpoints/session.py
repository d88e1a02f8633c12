"""One session of Postgres: what it relies on, and how long anybody waits for its answer."""

import asyncio
import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from types import MappingProxyType
from typing import NamedTuple

from psycopg import AsyncConnection, AsyncTransaction, Error, Notify
from psycopg.abc import RV, PQGen
from psycopg.conninfo import conninfo_to_dict, make_conninfo

# psycopg's own `wait` promises it
from psycopg.errors import _WaitTimeout  # pyright: ignore[reportPrivateUsage]
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow, dict_row

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
# Of these, what each pooler keeps for each of those it lends sessions to.
KEPT_BY_POOLERS = ("client_encoding", "DateStyle", "TimeZone")
NOTHING: Mapping[str, str] = MappingProxyType({})
GRACE_SECONDS = 2.0  # in which Postgres says that a statement took too long
CANCEL_SECONDS = 1.0  # for Postgres to hear that a statement is not waited for any more
FOR_EVER_SECONDS = 1e9


class Patience(NamedTuple):
    """How long Postgres lets a statement wait for a lock, and go on; in whole seconds."""

    lock_seconds: int
    statement_seconds: int

    @property
    def settings(self) -> Mapping[str, str]:
        return {
            "lock_timeout": f"{self.lock_seconds}s",
            "statement_timeout": f"{self.statement_seconds}s",
        }

    @property
    def answer_seconds(self) -> float:
        """Return when an answer is overdue: until then Postgres would have said no."""
        return self.statement_seconds + GRACE_SECONDS


Connection = AsyncConnection[DictRow]


class PatientConnection(Connection):
    """Gives up a database that takes everything and answers nothing, and closes itself.

    No timeout of Postgres ends that wait, and none of the kernel's does where something in between
    (a proxy, a load balancer, a server that was stopped) still acknowledges what it is sent.
    """

    answer_seconds: float = 8.0

    async def begin(self, patience: Patience) -> None:
        """Be as patient, whose settings its session was opened with."""
        self.answer_seconds = patience.answer_seconds

    async def tell_silence(self) -> None:
        """Do what there is to be done about other connections; the pool's to say."""

    async def wait(
        self,
        gen: PQGen[RV],
        interval: float = 0.1,
        timeout: float | None = None,  # noqa: ASYNC109  # psycopg's
    ) -> RV:
        if timeout is not None:
            return await super().wait(gen, interval, timeout)
        try:
            return await super().wait(gen, interval, self.answer_seconds)
        except _WaitTimeout:
            self.pgconn.finish()
            await self.tell_silence()
            raise

    def notifies(
        self, *, timeout: float | None = None, stop_after: int | None = None
    ) -> AsyncGenerator[Notify]:
        """Wait for ever for who may have nothing to say."""
        seconds = FOR_EVER_SECONDS if timeout is None else timeout
        return super().notifies(timeout=seconds, stop_after=stop_after)

    async def _try_cancel(self, *, timeout: float = CANCEL_SECONDS) -> None:  # noqa: ASYNC109
        """Have a statement cancelled that is not waited for any more: psycopg's own takes 10 s."""
        try:
            await self.cancel_safe(timeout=min(timeout, CANCEL_SECONDS))
        except Error:
            self.pgconn.finish()


class LentConnection(PatientConnection):
    """One of a pooler that lends sessions by transaction: what is set is gone with the session.

    So a transaction brings its own settings. Outside of one no timeout of Postgres ends a
    statement: it is cancelled from here.
    """

    patience = Patience(lock_seconds=1, statement_seconds=6)
    answer_seconds = GRACE_SECONDS  # from when it was cancelled

    async def begin(self, patience: Patience) -> None:
        self.patience = patience
        kept = {name: SESSION[name] for name in KEPT_BY_POOLERS}
        await self.execute(_write_settings("SET", kept))

    @asynccontextmanager
    async def transaction(
        self, savepoint_name: str | None = None, force_rollback: bool = False
    ) -> AsyncGenerator[AsyncTransaction]:
        is_outermost = self.info.transaction_status == TransactionStatus.IDLE
        async with super().transaction(savepoint_name, force_rollback) as transaction:
            if is_outermost:
                await self.execute(_write_settings("SET LOCAL", self._list_own()))
            yield transaction

    async def wait(
        self,
        gen: PQGen[RV],
        interval: float = 0.1,
        timeout: float | None = None,  # noqa: ASYNC109  # psycopg's
    ) -> RV:
        if timeout is None:
            with suppress(_WaitTimeout):
                return await super().wait(gen, interval, self.patience.statement_seconds)
            await self._try_cancel()
            if self.closed:
                await self.tell_silence()
        return await super().wait(gen, interval, timeout)

    def _list_own(self) -> Mapping[str, str]:
        """Return what no pooler keeps."""
        idle = "idle_in_transaction_session_timeout"
        return {**self.patience.settings, idle: SESSION[idle]}


def _write_settings(command: str, settings: Mapping[str, str]) -> bytes:
    """Return statements that are one message."""
    return "; ".join(f"{command} {name} = '{value}'" for name, value in settings.items()).encode()


def add_session_settings(conninfo: str, session: Mapping[str, str] = NOTHING) -> str:
    """Return the address with our SESSION, and more, behind what its own `options` set."""
    own = conninfo_to_dict(conninfo).get("options") or os.environ.get("PGOPTIONS", "")
    ours = " ".join(f"-c {name}={value}" for name, value in {**SESSION, **session}.items())
    return make_conninfo(conninfo, options=f"{own} {ours}".strip())


async def open_whole(conninfo: str) -> Connection:
    """Return a connection in autocommit, for the caller to close. Raise OperationalError.

    Where the caller is cancelled meanwhile the handshake ends by itself: psycopg leaves one that is
    cancelled half open until Python collects its garbage, and for that long, or for a minute
    (authentication_timeout), Postgres cannot drop any database.
    """
    opening = asyncio.create_task(
        PatientConnection.connect(
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
