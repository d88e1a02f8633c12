"""A server with the story's agents, and browsers in front of it."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from typing import Unpack

import pytest
from playwright.async_api import Browser, Page

from tests.inbox.browser import Options, Visit, Visits, launching, visiting
from tests.inbox.inbox import Inbox, start_inbox
from tests.inbox.story import Story, seed
from tests.temporary import temporary_database


@pytest.fixture(scope="session")
async def chromium() -> AsyncGenerator[Browser]:
    async with launching() as browser:
        yield browser


@pytest.fixture(scope="module")
async def inbox(postgres: str) -> AsyncGenerator[Inbox]:
    async with temporary_database(postgres) as url, start_inbox(url) as inbox:
        yield inbox


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

        async def open_visit(**options: Unpack[Options]) -> Visit:
            return await opened.enter_async_context(visiting(chromium, inbox.url, **options))

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
