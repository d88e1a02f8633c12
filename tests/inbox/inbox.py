"""A server with the story's agents, as a process, and a person who signs in."""

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
from playwright.async_api import Page

from tests.inbox.story import AGENTS_OF_STORY
from tests.processes import API_KEY, Running, serving

INBOX = re.compile(r"^[^?]*/inbox\b")  # not where it only stands as what comes next


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
        """Go to /login and do what it asks for."""
        await page.goto(f"{self.url}/login")
        await fill_in(page, key, name, person)


async def fill_in(
    page: Page, key: str = API_KEY, name: str = "Ada Lovelace", person: str = "ada"
) -> None:
    """Sign in on the page that is open, and wait until the inbox has come.

    `name` and `person` (the id) are left out where they are empty, or the page does not ask.
    """
    await page.get_by_label("API key").fill(key)
    for label, value in (("Your name", name), ("Your id", person)):
        field = page.get_by_label(label)
        if value and await field.is_visible():
            await field.fill(value)
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_url(INBOX)


@asynccontextmanager
async def start_inbox(database_url: str, **settings: str) -> AsyncGenerator[Inbox]:
    with serving(database_url, HITL_AGENTS=AGENTS_OF_STORY, **settings) as server:
        headers = {"Authorization": f"Bearer {server.api_key}"}
        async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=60) as client:
            yield Inbox(server, database_url, client)
