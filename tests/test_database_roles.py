"""Roles that may little, and databases with defaults of their own: told in a line, or at home."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from psycopg import AsyncConnection, sql
from psycopg.conninfo import make_conninfo

from hitl_orchestrator.checkpoints.migrate import check_migrated, migrate
from hitl_orchestrator.checkpoints.pool import connection, connection_pool
from hitl_orchestrator.checkpoints.saver import BufferedSaver
from hitl_orchestrator.checkpoints.session import SESSION
from hitl_orchestrator.domain.errors import ConfigurationError
from tests.api.calls import answering, paused, started
from tests.processes import API_KEY
from tests.test_security import hitl

STRANGE = {
    "DateStyle": "German, DMY",
    "IntervalStyle": "sql_standard",
    "TimeZone": "Asia/Kathmandu",
    "client_encoding": "LATIN1",
    "default_transaction_isolation": "serializable",
}


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


async def set_defaults(database_url: str, defaults: dict[str, str]) -> None:
    async with await AsyncConnection.connect(database_url, autocommit=True) as owner:
        for name, value in defaults.items():
            await owner.execute(
                sql.SQL("ALTER DATABASE {} SET {} = {}").format(
                    sql.Identifier(owner.info.dbname), sql.Identifier(name), value
                )
            )


@pytest.mark.parametrize("dispatch", ["inline", "queue"])
async def test_a_database_with_defaults_of_its_own_serves_as_any(
    database_url: str, dispatch: str
) -> None:
    await set_defaults(database_url, STRANGE)
    async with started(database_url, dispatch=dispatch) as api:
        if dispatch == "queue":
            assert (await api.get("/readyz")).json() == {
                "status": "ready",
                "liveWorkers": 0,
                "heldRuns": 0,
            }
            return
        run = await paused(api, "Wie heißt 東京?")
        assert (await api.get("/api/hitl/requests")).status_code == 200
        answers = [
            api.post("/api/hitl/resume", json=answering(run, freeformText="ß")) for _ in "ab"
        ]
        replies = await asyncio.gather(*answers)
        assert sorted(reply.status_code for reply in replies) == [200, 409], "one was first"
        ended = (await api.get(f"/api/runs/{run['runId']}?wait=20")).json()
    assert ended["status"] == "completed"
    assert ended["updatedAt"].endswith(("Z", "+00:00"))


async def test_what_we_rely_on_is_set_beside_what_the_address_sets(database_url: str) -> None:
    await set_defaults(database_url, STRANGE)
    address = make_conninfo(database_url, options="-c work_mem=7MB -c DateStyle=Postgres")
    found = dict[str, str]()
    async with connection_pool(address, max_size=1) as pool, connection(pool) as conn:
        for name in (*SESSION, "work_mem"):
            row = await (await conn.execute(f"SHOW {name}".encode())).fetchone()
            (found[name],) = (row or {}).values()
    assert found.pop("work_mem") == "7MB"
    assert found.pop("DateStyle").startswith("ISO, ")
    assert found == {
        name: value.replace("\\", "") for name, value in SESSION.items() if name != "DateStyle"
    }
