from collections.abc import AsyncGenerator

import httpx
import pytest
from playwright.async_api import Browser

from tests.inbox.browser import Inbox, chromium
from tests.processes import serving
from tests.temporary import temporary_database


@pytest.fixture(scope="session")
async def browser() -> AsyncGenerator[Browser]:
    async with chromium() as found:
        yield found


@pytest.fixture(scope="module")
async def one_server(postgres: str, browser: Browser) -> AsyncGenerator[Inbox]:
    async with temporary_database(postgres) as url:
        with serving(url, "asks.py:agent", HITL_MAX_REQUESTS="9") as server:
            headers = {"Authorization": f"Bearer {server.api_key}"}
            async with httpx.AsyncClient(
                base_url=server.url, headers=headers, timeout=30
            ) as client:
                yield Inbox(server, client, browser)


@pytest.fixture
async def inbox(one_server: Inbox) -> AsyncGenerator[Inbox]:
    """With nothing waiting; what the browser complained of fails the test."""
    await one_server.clear()
    one_server.complaints.clear()
    yield one_server
    assert one_server.complaints == []
