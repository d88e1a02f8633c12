"""Servers as real processes, and the browser in front of them."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx
import pytest
from playwright.async_api import Browser

from tests.inbox.browser import Inbox, chromium
from tests.inbox.story import AGENTS_OF_STORY, Story, seed
from tests.processes import AGENTS, serving
from tests.temporary import temporary_database


@pytest.fixture(scope="session")
async def browser() -> AsyncGenerator[Browser]:
    async with chromium() as found:
        yield found


@pytest.fixture(scope="module")
async def one_server(postgres: str, browser: Browser) -> AsyncGenerator[Inbox]:
    async with temporary_database(postgres) as url:
        agents = {"HITL_AGENTS": str(AGENTS / "asks.py:agent"), "HITL_MAX_REQUESTS": "9"}
        async with serving_inbox(url, browser, **agents) as inbox:
            yield inbox


@pytest.fixture
async def inbox(one_server: Inbox) -> Inbox:
    """With nothing waiting."""
    await one_server.clear()
    return one_server


@pytest.fixture(scope="module")
async def office_database(postgres: str) -> AsyncGenerator[str]:
    async with temporary_database(postgres) as url:
        yield url


@pytest.fixture(scope="module")
async def office(office_database: str, browser: Browser) -> AsyncGenerator[Inbox]:
    """With the story's agents. What is asked stays for the whole module."""
    async with serving_inbox(office_database, browser, HITL_AGENTS=AGENTS_OF_STORY) as inbox:
        yield inbox


@pytest.fixture(scope="module")
async def story(office: Inbox) -> Story:
    """Every kind of question and every ending, at the office."""
    return await seed(office.api)


@asynccontextmanager
async def serving_inbox(
    database_url: str, browser: Browser, **settings: str
) -> AsyncGenerator[Inbox]:
    with serving(database_url, **settings) as server:
        headers = {"Authorization": f"Bearer {server.api_key}"}
        async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=60) as client:
            yield Inbox(server, client, browser)
