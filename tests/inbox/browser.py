"""Debian's Chromium, and a page that notes all that a person should never see."""

import asyncio
import re
import shutil
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from tests.api.calls import Json
from tests.inbox.watching import Watch, watching
from tests.processes import API_KEY, Running

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DESK, PHONE = (1280, 800), (375, 812)
INBOX = re.compile(r"^[^?]*/inbox\b")  # not where it only stands as what comes next
SETTLE_MS = 450  # a little more than a question must have been there before it can be decided
HOLD_MS = 4000
ARGUMENTS = (
    "--no-sandbox",  # as root it does not start with one
    "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)


@asynccontextmanager
async def chromium() -> AsyncGenerator[Browser]:
    assert CHROMIUM, "the pages are tested in Debian's Chromium: apt-get install chromium"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        await browser.close()


@dataclass
class Inbox:
    """A real server with an agent that asks whatever it is told to, and its browser."""

    server: Running
    api: httpx.AsyncClient
    browser: Browser

    async def ask(self, question: Any, objective: str = "Ask", **body: Any) -> Json:
        """Return a run that waits for the answer."""
        asking = {"objective": objective, "inputs": {"question": question}, "outputs": ["answer"]}
        response = await self.api.post("/api/runs?wait=20", json={**asking, **body})
        assert response.status_code == 202, response.text
        return response.json()

    async def read(self, run: Json) -> Json:
        return (await self.api.get(f"/api/runs/{run['runId']}")).json()

    async def clear(self) -> None:
        while True:
            page = (await self.api.get("/api/hitl/pending?limit=200")).json()
            if not page["runs"]:
                return
            for run in page["runs"]:
                body = {"reason": "the test is over"}
                await self.api.post(f"/api/runs/{run['runId']}/cancel", json=body)

    @asynccontextmanager
    async def open(
        self,
        path: str = "/inbox",
        *,
        size: tuple[int, int] = DESK,
        key: str | None = API_KEY,
        operator: str = "ada",
        name: str = "Ada Lovelace",
        **context: Any,
    ) -> AsyncGenerator["Window"]:
        """Open a page in a browser of its own, signed in unless `key` is None.

        What goes wrong in it and was not allowed (`Window.allow`) fails the test.
        """
        width, height = size
        made = await self.browser.new_context(
            viewport={"width": width, "height": height},
            base_url=self.server.url,
            reduced_motion="reduce",
            **context,
        )
        made.set_default_timeout(10_000)
        if key is not None:
            form: dict[str, str | float | bool] = {"key": key, "operator": operator, "name": name}
            signed_in = await made.request.post("/login", form=form)
            assert signed_in.ok, await signed_in.text()
        try:
            async with watching(made, self.server.url) as watch:
                page = await made.new_page()
                await page.goto(path)
                yield Window(self, made, page, watch)
        finally:
            await made.close()


@dataclass
class Window:
    """What a person sees and does."""

    inbox: Inbox
    context: BrowserContext
    page: Page
    watch: Watch

    def allow(self, *texts: str) -> None:
        """Expect what goes wrong with one of these texts in it: `503 Service`, `REFUSED`."""
        self.watch.allow(*texts)

    async def sign_in(
        self, key: str = API_KEY, name: str = "Ada Lovelace", operator: str = "ada"
    ) -> None:
        """Fill in what the page of the sign-in asks for, and wait until the inbox has come.

        `name` and `operator` are left out where they are empty, or the page does not ask.
        """
        await self.page.get_by_label("API key").fill(key)
        for label, value in (("Your name", name), ("Your id", operator)):
            field = self.page.get_by_label(label)
            if value and await field.is_visible():
                await field.fill(value)
        await self.page.get_by_role("button", name="Sign in").click()
        await self.page.wait_for_url(INBOX)

    async def read(self, selector: str) -> str:
        return " ".join((await self.page.inner_text(selector)).split())

    async def title(self) -> str:
        return await self.read("#title")

    async def settle(self) -> None:
        """Wait as long as nobody can have read a new question."""
        await self.page.wait_for_timeout(SETTLE_MS)

    async def press(self, *keys: str) -> None:
        for key in keys:
            await self.page.keyboard.press(key)

    async def write(self, text: str) -> None:
        await self.page.keyboard.type(text)

    async def focused(self) -> str:
        """Return the id of what has the focus, or the name of its kind."""
        return await self.page.evaluate(
            "document.activeElement.id || document.activeElement.tagName"
        )

    async def until_title(self, text: str) -> None:
        await self.page.wait_for_function(
            "text => document.querySelector('#title')?.innerText === text", arg=text
        )


async def until(is_so: Callable[[], Awaitable[Any]], seconds: float = 12) -> None:
    """Wait until it is so; fail with what it was at last."""
    end = asyncio.get_running_loop().time() + seconds
    while not await is_so():
        assert asyncio.get_running_loop().time() < end, "it did not come to be"
        await asyncio.sleep(0.05)


def approval(name: str, **more: Any) -> Json:
    action = {"name": "refund", "arguments": {"order": name, "amount_eur": 15}}
    return {"question": f"{name}?", "kind": "approval", "action": action, **more}
