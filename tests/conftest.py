"""The real thing for every test: one embedded Postgres for the session, an empty database for each
test.
"""

import os

os.environ["LANGGRAPH_STRICT_MSGPACK"] = "true"  # read when LangGraph is imported

import shutil
import tempfile
from collections.abc import AsyncGenerator, Generator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from psycopg import AsyncConnection, sql
from psycopg.conninfo import make_conninfo
from psycopg.errors import QueryCanceled

from hitl_orchestrator.checkpoints.embedded.postgres import EmbeddedPostgres
from tests.processes import API_KEY, Running, serving


@pytest.fixture(scope="session")
def postgres() -> Generator[str]:
    """The server, as the address of its database `postgres`."""
    folder = Path(
        tempfile.mkdtemp(prefix="hitl-tests-")
    )  # not pytest's: those are private to root, and Postgres does not run as root
    folder.chmod(0o755)
    with EmbeddedPostgres(folder) as uri:
        yield uri
    shutil.rmtree(folder)


@pytest.fixture
async def database_url(postgres: str) -> AsyncGenerator[str]:
    name = f"test_{uuid4().hex}"
    async with await AsyncConnection.connect(postgres, autocommit=True) as admin:
        await admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield make_conninfo(postgres, dbname=name)
        await admin.execute("SET statement_timeout = '5s'")
        with suppress(
            QueryCanceled
        ):  # now and then a DROP waits for a minute; the server goes with the session anyway
            await admin.execute(
                sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
            )


@pytest.fixture
def live_server(database_url: str) -> Generator[Running]:
    """`hitl serve` as a process, with the built-in specialists."""
    with serving(database_url) as server:
        yield server


@pytest.fixture
async def app_client(database_url: str, tmp_path: Path) -> AsyncGenerator[httpx.AsyncClient]:
    """The ASGI app in this process, started, with the key set."""
    from pydantic import SecretStr

    from hitl_orchestrator.server.api.app import create_app
    from hitl_orchestrator.server.settings import Settings

    settings = Settings(database_url=database_url, api_key=SecretStr(API_KEY), outbox_dir=tmp_path)
    app = create_app(settings)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        client.headers["Authorization"] = f"Bearer {API_KEY}"
        yield client
