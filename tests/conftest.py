"""The real thing for every test: one Postgres for the session, an empty database for each test."""

import os

os.environ["LANGGRAPH_STRICT_MSGPACK"] = "true"  # read when LangGraph is imported

import signal
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import httpx
import pytest

from tests.markers import mark
from tests.processes import API_KEY, Running, serving
from tests.stacks import describe_tasks
from tests.temporary import temporary_database, temporary_postgres

# A Postgres of yours for the tests, with the right to create databases; unset: the embedded one.
TEST_DATABASE_URL = os.environ.get("TEST_DATABASE_URL")


def pytest_configure() -> None:
    """A shell without job control starts what ends in `&` with SIGINT ignored, and children inherit
    that, but no handler of ours: so we go on ignoring it, and the tests' processes do not.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, lambda number, frame: None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        mark(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A timeout interrupts the event loop: what its tasks wait for is in no traceback."""
    report = yield
    if call.excinfo and "Timeout" in str(call.excinfo.value):
        report.sections.append(("asyncio tasks", describe_tasks()))
    return report


@pytest.fixture(scope="session")
def postgres() -> Generator[str]:
    """The server, as the address of its database `postgres`."""
    if TEST_DATABASE_URL:
        yield TEST_DATABASE_URL
        return
    with temporary_postgres() as embedded:
        yield embedded.start()


@pytest.fixture
async def database_url(postgres: str) -> AsyncGenerator[str]:
    async with temporary_database(postgres) as url:
        yield url


@pytest.fixture
def live_server(database_url: str) -> Generator[Running]:
    """`hitl serve` as a process, with the built-in specialists."""
    with serving(database_url) as server:
        yield server


@pytest.fixture
async def app_client(database_url: str, tmp_path: Path) -> AsyncGenerator[httpx.AsyncClient]:
    """The ASGI app in this process, started, with the key set."""
    from pydantic import SecretStr

    from hitl_orchestrator.server.app import create_app
    from hitl_orchestrator.server.settings import Settings

    settings = Settings(database_url=database_url, api_key=SecretStr(API_KEY), outbox_dir=tmp_path)
    app = create_app(settings)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
    ):
        client.headers["Authorization"] = f"Bearer {API_KEY}"
        yield client
