"""A server with the story's agents, and browsers in front of it."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx
import pytest
from playwright.async_api import Browser, Page

from tests.inbox.browser import Options, Visit, launching, visiting
from tests.inbox.story import AGENTS_OF_STORY, Story, seed, seed_held
from tests.processes import API_KEY, Running, serving
from tests.temporary import temporary_database

# Open a browser of that kind: `await visits(viewport=PHONE, color_scheme="dark")`.
Visits = Callable[..., Awaitable[Visit]]


@dataclass
class Inbox:
    """A server on an empty database, and a client of its API with the key that may do all."""

    server: Running
    database_url: str
    client: httpx.AsyncClient

    @property
    def url(self) -> str:
        return self.server.url

    async def sign_in(
        self, page: Page, key: str = API_KEY, name: str = "Ada Lovelace", person: str = "ada"
    ) -> None:
        """Go to /login, fill in what it asks for, and wait for the queue.

        `name` and `person` (the id) are left out where the page does not ask, or they are empty.
        """
        await page.goto("/login")
        await page.get_by_label("API key").fill(key)
        for label, value in (("Your name", name), ("Your id", person)):
            field = page.get_by_label(label)
            if value and await field.is_visible():
                await field.fill(value)
        await page.get_by_role("button", name="Sign in").click()
        await page.wait_for_url("**/inbox**")


@pytest.fixture(scope="session")
async def chromium() -> AsyncGenerator[Browser]:
    async with launching() as browser:
        yield browser


@pytest.fixture(scope="module")
async def inbox(postgres: str) -> AsyncGenerator[Inbox]:
    async with temporary_database(postgres) as url, start_inbox(url) as inbox:
        yield inbox


@asynccontextmanager
async def start_inbox(database_url: str, **settings: str) -> AsyncGenerator[Inbox]:
    with serving(database_url, HITL_AGENTS=AGENTS_OF_STORY, **settings) as server:
        headers = {"Authorization": f"Bearer {server.api_key}"}
        async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=60) as client:
            yield Inbox(server, database_url, client)


@pytest.fixture(scope="module")
async def story(inbox: Inbox) -> Story:
    """Every kind and every ending, in the inbox."""
    return await seed(inbox.client)


@pytest.fixture
async def visits(chromium: Browser, inbox: Inbox) -> AsyncGenerator[Visits]:
    """Opens browsers, each with storage of its own, signed in nowhere; see `Options`.

    What goes wrong in one of them and was not allowed (`Visit.allow`) fails the test.
    """
    async with AsyncExitStack() as opened:

        async def open_visit(**options: Any) -> Visit:
            return await opened.enter_async_context(
                visiting(chromium, inbox.url, Options(**options))
            )

        yield open_visit


@pytest.fixture
async def visit(visits: Visits) -> Visit:
    """One on a desk, in light colours."""
    return await visits()


@pytest.fixture
async def page(visit: Visit, inbox: Inbox) -> Page:
    """Its tab, signed in."""
    await inbox.sign_in(visit.page)
    return visit.page
