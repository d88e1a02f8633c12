"""The addresses of the database, before anything is opened: do they lead to where they have to?"""

from collections.abc import Generator
from contextlib import contextmanager
from uuid import uuid4

from psycopg import Error, ProgrammingError, sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row

from hitl_orchestrator.checkpoints.pool import CALLS
from hitl_orchestrator.checkpoints.session import (
    SESSION,
    Connection,
    LentConnection,
    PatientConnection,
    add_session_settings,
)
from hitl_orchestrator.domain.errors import ConfigurationError, StoreUnavailable

DATABASE = "DATABASE_URL"
LISTEN = "HITL_LISTEN_URL"
CONNECT_SECONDS = 5
# What a pooler in between is told by, and what is told about it.
SHOW_SETTING = "SELECT current_setting(%s) AS value"
KEPT_SETTING = "idle_in_transaction_session_timeout"
TRIES = 3
NO_SETTINGS = "{} leads to a pooler that passes no settings of a session on: {}."
NO_SESSIONS = (
    "{} leads to a pooler that gives each transaction another session "
    "(PgBouncer's pool_mode=transaction): {}."
)
REMEDIES = {
    DATABASE: "set HITL_LISTEN_URL to the address of Postgres itself",
    LISTEN: "it has to be the address of Postgres itself",
}
NO_OPTIONS = "set no `options` in it, nor PGOPTIONS; ALTER ROLE … SET does it"
# How what LISTEN_URL leads to is told from another database.
HEARD_SECONDS = 5.0
SCHEMA = "SELECT coalesce(current_schema(), '') AS name"
# What a transaction of ours does not say of itself. `DateStyle` is "ISO, MDY".
SETTINGS = """SELECT name, lower(split_part(setting, ',', 1)) AS value FROM pg_settings
    WHERE name = ANY(%s)"""


async def check_addresses(database_url: str, session_url: str) -> None:
    """Try once, before a pool goes on trying. Where they differ the first is a pooler's.

    Raise StoreUnavailable with the reason, or ConfigurationError.
    """
    if session_url == database_url:
        await check_session(database_url, DATABASE)
        return
    await check_session(session_url, LISTEN)
    await _check_lent(database_url, session_url)


async def check_session(conninfo: str, variable: str = DATABASE) -> None:
    """Raise as check_addresses does. `variable`: where the address is from.

    A pooler tells a number of its own for the process that serves a connection.
    """
    with _explaining(conninfo, variable, REMEDIES[variable]):
        async with await _open_session(conninfo) as one:
            if await _find_process(one) == one.info.backend_pid:
                return
            row = await (await one.execute(SHOW_SETTING, (KEPT_SETTING,))).fetchone()
            if row is None or row["value"] != SESSION[KEPT_SETTING]:
                raise ConfigurationError(NO_SETTINGS.format(variable, REMEDIES[variable]))
            async with await _open_session(conninfo) as other:
                if any([await _is_shared(one, other) for _ in range(TRIES)]):
                    raise ConfigurationError(NO_SESSIONS.format(variable, REMEDIES[variable]))


async def _check_lent(database_url: str, session_url: str) -> None:
    """Raise ConfigurationError where a pooler's sessions are of no use, or of another database."""
    with _explaining(database_url, DATABASE, NO_OPTIONS):
        async with await _open_lent(database_url) as lent:
            await _check_settings(lent)
            async with await _open_session(session_url) as session:
                if not await _hears(session, lent):
                    raise ConfigurationError(f"{LISTEN} leads to another database than {DATABASE}.")
                wanted, found = await _find_schema(lent), await _find_schema(session)
    if wanted != found:
        raise ConfigurationError(
            f"{LISTEN} leads to the schema {found!r}, {DATABASE} to {wanted!r}: "
            "set the search_path of both roles alike."
        )


async def _check_settings(lent: Connection) -> None:
    """Raise ConfigurationError where a session is not as we rely on: nothing we set lasts there."""
    wanted = {name: value for name, value in SESSION.items() if name != KEPT_SETTING}
    for row in await (await lent.execute(SETTINGS, ([*wanted],))).fetchall():
        value = wanted[row["name"]].replace("\\", "")
        if row["value"] != value.lower():
            raise ConfigurationError(
                f"{DATABASE} leads to a pooler, and there {row['name']} is {row['value']!r}: "
                f"ALTER ROLE … SET {row['name']} = '{value}'."
            )


async def _hears(session: Connection, lent: Connection) -> bool:
    channel = f"hitl_{uuid4().hex}"
    await session.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
    await lent.execute("SELECT pg_notify(%s, '')", (channel,))
    heard = [one async for one in session.notifies(timeout=HEARD_SECONDS, stop_after=1)]
    return bool(heard)


async def _find_schema(conn: Connection) -> str:
    row = await (await conn.execute(SCHEMA)).fetchone()
    return row["name"] if row else ""


@contextmanager
def _explaining(conninfo: str, variable: str, remedy: str) -> Generator[None]:
    """Raise our own errors; `remedy`: where a pooler takes no settings."""
    try:
        # a password's own: what follows must not be told as a host
        if "@" in str(conninfo_to_dict(conninfo).get("host", "")):
            raise ProgrammingError
        yield
    except ProgrammingError as error:  # its text may quote the address, password and all
        raise ConfigurationError(
            f"{variable} is not an address of Postgres; "
            "a password's special characters are written as %XX in it."
        ) from error
    except Error as error:
        if "unsupported startup parameter" in str(error):  # PgBouncer's words
            raise ConfigurationError(NO_SETTINGS.format(variable, remedy)) from error
        raise StoreUnavailable(
            f"The database cannot be reached: {' '.join(str(error).split())}"
        ) from error


async def _is_shared(one: Connection, other: Connection) -> bool:
    """Tell whether one process serves both, or two serve one: a pooler lends them for a while."""
    before = await _find_process(one)
    async with other.transaction():
        return before == await _find_process(other) or before != await _find_process(one)


async def _open_session(conninfo: str) -> Connection:
    return await PatientConnection.connect(
        add_session_settings(conninfo),
        connect_timeout=CONNECT_SECONDS,
        autocommit=True,
        row_factory=dict_row,
        prepare_threshold=None,
    )


async def _open_lent(conninfo: str) -> Connection:
    conn = await LentConnection.connect(
        conninfo,
        connect_timeout=CONNECT_SECONDS,
        autocommit=True,
        row_factory=dict_row,
        prepare_threshold=None,
    )
    await conn.begin(CALLS)
    return conn


async def _find_process(conn: Connection) -> int:
    row = await (await conn.execute("SELECT pg_backend_pid() AS process")).fetchone()
    return row["process"] if row else 0
