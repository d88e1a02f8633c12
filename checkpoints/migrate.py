"""Bring the database up to date. Safe for many starters at once.

Our numbered files, then LangGraph's tables, then the queue's.
"""

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from importlib.resources import files

from psycopg import AsyncConnection
from psycopg.errors import InsufficientPrivilege, InvalidSchemaName
from psycopg.rows import DictRow

from hitl_orchestrator.checkpoints.memories import open_memories
from hitl_orchestrator.checkpoints.pool import Connection, Pool, connection
from hitl_orchestrator.checkpoints.saver import BufferedSaver
from hitl_orchestrator.domain.errors import ConfigurationError

# Polled, not waited for: LangGraph's CREATE INDEX CONCURRENTLY would wait for a transaction that
# waits for the lock.
_TRY_LOCK = "SELECT pg_try_advisory_lock(471947) AS got"
_UNLOCK = "SELECT pg_advisory_unlock(471947)"
_POLL_SECONDS = 0.05
_VERSIONS = """CREATE TABLE IF NOT EXISTS hitl_migrations (
    version integer PRIMARY KEY, name text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now())"""
_QUEUE = "SELECT to_regclass('procrastinate_jobs') IS NOT NULL AS there"


def migrations() -> list[tuple[int, str, str]]:
    """Return (version, name, SQL) in order. A file that was released is never changed."""
    found = sorted(
        (
            f
            for f in files("hitl_orchestrator.checkpoints.migrations").iterdir()
            if f.name.endswith(".sql")
        ),
        key=lambda f: f.name,
    )
    return [(int(f.name.split("_")[0]), f.name, f.read_text("utf-8")) for f in found]


async def migrate(pool: Pool, saver: BufferedSaver) -> list[str]:
    """Return the names of what was applied.

    Raise ConfigurationError when the database is newer than this program, or its role may not.
    """
    with _explain_refusal(
        "may not bring the database up to date",
        "run `hitl migrate` as its owner, and servers with HITL_AUTO_MIGRATE=false",
    ):
        return await _migrate(pool, saver)


async def _migrate(pool: Pool, saver: BufferedSaver) -> list[str]:
    async with _alone(pool) as conn:
        await conn.execute(_VERSIONS)
        applied = await _check_not_newer(conn)
        fresh = [migration for migration in migrations() if migration[0] not in applied]
        for version, name, sql in fresh:
            async with conn.transaction():
                await conn.execute(sql.encode())
                await conn.execute(
                    "INSERT INTO hitl_migrations (version, name) VALUES (%s, %s)", (version, name)
                )
        await saver.setup()
        async with open_memories(conn) as memories:
            await memories.setup()
        await _apply_queue_schema(conn)
        return [name for _, name, _ in fresh]


async def check_migrated(pool: Pool) -> None:
    """Raise ConfigurationError when the database is older or newer than this program.

    Or when its role may not read it.
    """
    with _explain_refusal("may not use the tables", "let their owner GRANT it (docs/security.md)"):
        await _check_migrated(pool)


async def _check_migrated(pool: Pool) -> None:
    async with connection(pool) as conn:
        there = await (
            await conn.execute("SELECT to_regclass('hitl_migrations') IS NOT NULL AS there")
        ).fetchone()
        applied = await _check_not_newer(conn) if there and there["there"] else set[int]()
        if missing := [name for version, name, _ in migrations() if version not in applied]:
            raise ConfigurationError(
                f"The database is not up to date ({', '.join(missing)} missing): "
                "run `hitl migrate`."
            )


async def _check_not_newer(conn: AsyncConnection[DictRow]) -> set[int]:
    rows = await (
        await conn.execute("SELECT version, name FROM hitl_migrations ORDER BY version")
    ).fetchall()
    known = {version for version, _, _ in migrations()}
    if newer := [row["name"] for row in rows if row["version"] not in known]:
        raise ConfigurationError(
            f"The database is newer than this program (it has {', '.join(newer)}): "
            "update the program."
        )
    return {row["version"] for row in rows}


@contextmanager
def _explain_refusal(what: str, remedy: str) -> Generator[None]:
    try:
        yield
    except (InsufficientPrivilege, InvalidSchemaName) as error:
        reason = error.diag.message_primary or "permission denied"
        raise ConfigurationError(
            f"The role of DATABASE_URL {what} ({reason}): {remedy}."
        ) from error


@asynccontextmanager
async def _alone(pool: Pool) -> AsyncGenerator[Connection]:
    async with connection(pool) as conn:
        # it is in the database
        while not (row := await (await conn.execute(_TRY_LOCK)).fetchone()) or not row["got"]:  # noqa: ASYNC110
            await asyncio.sleep(_POLL_SECONDS)
        try:
            yield conn
        finally:
            await conn.execute(_UNLOCK)


async def _apply_queue_schema(conn: Connection) -> None:
    row = await (await conn.execute(_QUEUE)).fetchone()
    if row and not row["there"]:
        schema = files("procrastinate").joinpath("sql/schema.sql").read_text("utf-8")
        async with conn.transaction():
            await conn.execute(schema.encode())
