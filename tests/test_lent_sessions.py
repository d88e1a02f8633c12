"""A pooler's connections, which are a session of Postgres for one transaction only."""

import asyncio
from collections.abc import AsyncGenerator, Generator

import pytest
from psycopg import AsyncConnection, sql
from psycopg.conninfo import make_conninfo

from hitl_orchestrator.checkpoints.addresses import check_addresses
from hitl_orchestrator.checkpoints.pool import CALLS, connection, connection_pool
from hitl_orchestrator.checkpoints.session import Connection, Patience
from hitl_orchestrator.domain.errors import ConfigurationError, StoreUnavailable
from tests.pooler import Pooler, needs_pgbouncer, pooling
from tests.temporary import temporary_database

pytestmark = needs_pgbouncer

OWN_SETTINGS = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")
AT_WORK = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE %s"


@pytest.fixture
async def admin(database_url: str) -> AsyncGenerator[AsyncConnection]:
    async with await AsyncConnection.connect(database_url, autocommit=True) as conn:
        yield conn


@pytest.fixture
def pooler(database_url: str) -> Generator[Pooler]:
    with pooling(database_url) as found:
        yield found


async def set_default(admin: AsyncConnection, name: str, value: str) -> None:
    statement = sql.SQL("ALTER DATABASE {} SET {} = {}")
    database = sql.Identifier(admin.info.dbname)
    await admin.execute(statement.format(database, sql.Identifier(name), sql.Literal(value)))


async def show(conn: Connection, name: str) -> str:
    row = await (await conn.execute("SELECT current_setting(%s) AS value", (name,))).fetchone()
    return row["value"] if row else ""


async def test_what_a_statement_relies_on_is_there_in_whatever_session_it_gets(
    pooler: Pooler, admin: AsyncConnection
) -> None:
    await set_default(admin, "TimeZone", "Asia/Tokyo")
    await set_default(admin, "DateStyle", "German")
    async with connection_pool(pooler.url, max_size=3, patience=CALLS, is_lent=True) as pool:
        async with connection(pool) as one, connection(pool) as other, other.transaction():
            # the other keeps the session that was this one's
            assert await show(one, "TimeZone") == "UTC"
            assert (await show(one, "DateStyle")).startswith("ISO")
            assert [await show(other, name) for name in OWN_SETTINGS] == ["5s", "15s", "10s"]
            async with other.transaction():
                assert await show(other, "lock_timeout") == "5s"
        async with connection(pool) as one:
            assert [await show(one, name) for name in OWN_SETTINGS] == ["0", "0", "0"]


async def test_a_statement_that_takes_too_long_is_cancelled_and_its_connection_kept(
    pooler: Pooler, admin: AsyncConnection
) -> None:
    hasty = Patience(lock_seconds=1, statement_seconds=1)
    async with connection_pool(pooler.url, max_size=1, patience=hasty, is_lent=True) as pool:
        async with connection(pool) as conn:
            before = conn.info.backend_pid
        with pytest.raises(StoreUnavailable, match="too busy"):
            async with asyncio.timeout(10), connection(pool) as conn:
                await conn.execute("SELECT pg_sleep(30)")
        async with connection(pool) as conn:
            assert conn.info.backend_pid == before
    row = await (await admin.execute(AT_WORK, ("SELECT pg_sleep%",))).fetchone()
    assert row == (0,)


async def test_addresses_that_fit_each_other_are_taken(pooler: Pooler, database_url: str) -> None:
    await check_addresses(pooler.url, database_url)


async def test_a_default_that_cannot_be_set_from_here_is_named_with_its_remedy(
    pooler: Pooler, database_url: str, admin: AsyncConnection
) -> None:
    await set_default(admin, "default_transaction_isolation", "serializable")
    remedy = "ALTER ROLE … SET default_transaction_isolation = 'read committed'"
    with pytest.raises(ConfigurationError, match=remedy):
        await check_addresses(pooler.url, database_url)


async def test_options_that_no_pooler_takes_are_told(pooler: Pooler, database_url: str) -> None:
    own = make_conninfo(pooler.url, options="-c search_path=own")
    with pytest.raises(ConfigurationError, match=r"passes no settings .* set no `options` in it"):
        await check_addresses(own, database_url)


@pytest.mark.slow
async def test_a_session_of_another_database_or_schema_or_of_a_pooler_is_refused(
    pooler: Pooler, database_url: str, postgres: str, admin: AsyncConnection
) -> None:
    async with temporary_database(postgres) as another:
        with pytest.raises(ConfigurationError, match="HITL_LISTEN_URL leads to another database"):
            await check_addresses(pooler.url, another)
    await admin.execute("CREATE SCHEMA own")
    elsewhere = make_conninfo(database_url, options="-c search_path=own")
    with pytest.raises(ConfigurationError, match="HITL_LISTEN_URL leads to the schema 'own'"):
        await check_addresses(pooler.url, elsewhere)
    same = make_conninfo(pooler.url, application_name="same")
    with pytest.raises(ConfigurationError, match=r"HITL_LISTEN_URL leads to a pooler .* has to be"):
        await check_addresses(pooler.url, same)
