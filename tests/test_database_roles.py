"""Roles that may little, and databases with defaults of their own: told in a line, or at home."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from psycopg import AsyncConnection, sql
from psycopg.conninfo import make_conninfo

from hitl_orchestrator.checkpoints.migrate import check_migrated, migrate
from hitl_orchestrator.checkpoints.pool import connection_pool
from hitl_orchestrator.checkpoints.saver import BufferedSaver
from hitl_orchestrator.domain.errors import ConfigurationError
from tests.processes import API_KEY
from tests.test_security import hitl


@asynccontextmanager
async def role_of(database_url: str) -> AsyncGenerator[str]:
    """The address of the same database for a role that may connect to it and nothing else."""
    role, password = f"role_{uuid4().hex}", uuid4().hex
    name = sql.Identifier(role)
    async with await AsyncConnection.connect(database_url, autocommit=True) as owner:
        await owner.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(name, password))
        try:
            yield make_conninfo(database_url, user=role, password=password)
        finally:
            await owner.execute(sql.SQL("DROP OWNED BY {}").format(name))
            await owner.execute(sql.SQL("DROP ROLE {}").format(name))


async def test_a_role_that_may_not_create_tables_is_told_in_a_line(database_url: str) -> None:
    async with role_of(database_url) as address:
        refused = await hitl("serve", "--port", "0", DATABASE_URL=address, API_KEY=API_KEY)
    assert refused.returncode == 1
    assert refused.stderr == (
        "hitl: The role of DATABASE_URL may not bring the database up to date "
        "(permission denied for schema public): run `hitl migrate` as its owner, "
        "and servers with HITL_AUTO_MIGRATE=false.\n"
    )


async def test_a_role_that_finds_no_schema_is_told_so(database_url: str) -> None:
    async with role_of(database_url) as address:
        nowhere = make_conninfo(address, options="-c search_path=nowhere")
        async with connection_pool(nowhere, max_size=1) as pool:
            with pytest.raises(ConfigurationError, match="no schema has been selected to create"):
                await migrate(pool, BufferedSaver(pool))


async def test_a_role_that_may_not_read_the_tables_is_told_so(database_url: str) -> None:
    async with connection_pool(database_url, max_size=2) as pool:
        await migrate(pool, BufferedSaver(pool))
    async with role_of(database_url) as address, connection_pool(address, max_size=1) as pool:
        with pytest.raises(ConfigurationError) as refused:
            await check_migrated(pool)
    assert refused.value.detail == (
        "The role of DATABASE_URL may not use the tables (permission denied for table "
        "hitl_migrations): let their owner GRANT it (docs/security.md)."
    )
