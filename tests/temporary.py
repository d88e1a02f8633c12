"""A Postgres of one's own, to be killed or filled."""

import shutil
import tempfile
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from uuid import uuid4

from psycopg import AsyncConnection, sql
from psycopg.conninfo import make_conninfo

from hitl_orchestrator.checkpoints.embedded.postgres import EmbeddedPostgres


@contextmanager
def temporary_folder() -> Generator[Path]:
    """Not pytest's: those are private to root, and Postgres does not run as root."""
    folder = Path(tempfile.mkdtemp(prefix="hitl-temporary-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def temporary_postgres() -> Generator[EmbeddedPostgres]:
    """Started; its address is what `start` returns."""
    with temporary_folder() as folder:
        postgres = EmbeddedPostgres(folder)
        with postgres:
            yield postgres


@asynccontextmanager
async def temporary_database(postgres: str) -> AsyncGenerator[str]:
    """An empty one of that server."""
    name = f"test_{uuid4().hex}"
    async with await AsyncConnection.connect(postgres, autocommit=True) as admin:
        await admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield make_conninfo(postgres, dbname=name)
        await admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
