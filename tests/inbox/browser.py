"""A person's browser, watched: whatever goes wrong in it fails the test, unless it was allowed."""

import asyncio
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Literal, Protocol, TypedDict, Unpack

import pytest
from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Dialog,
    Error,
    Page,
    Request,
    Response,
    ViewportSize,
    WebError,
    WebSocket,
    async_playwright,
)

# Debian's name, and those that others give it.
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--no-sandbox",  # it does not start as root with one
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)
DESK: ViewportSize = {"width": 1280, "height": 800}
PHONE: ViewportSize = {"width": 375, "height": 812}
HEARD_SECONDS = 5.0
PATIENCE_MS = 10_000.0  # less than a test has, so that it is said what was waited for
# The console has no word of it where a page has taken `console` over.
TELL_REPORTS = """addEventListener("securitypolicyviolation", (report) => console.error(
    `CSP report: ${report.violatedDirective} ${report.blockedURI} ${report.sourceFile}`))"""
# What the browser says of each failed load; `_Watch` says it with the address.
_FAILED_LOAD = "Failed to load resource: "
_ABORTED = "net::ERR_ABORTED"  # of a stream, when its page is left


class Options(TypedDict, total=False):
    """What kind of browser it is: by itself one on a desk, light, with scripts and moving parts."""

    viewport: ViewportSize
    color_scheme: Literal["light", "dark"]
    java_script_enabled: bool
    reduced_motion: Literal["reduce", "no-preference"]
    offline: bool
    has_touch: bool
    ignore_https_errors: bool  # a certificate of the test's own


class Visits(Protocol):
    """Opens a browser of that kind: `await visits(viewport=PHONE, color_scheme="dark")`."""

    async def __call__(self, **options: Unpack[Options]) -> "Visit": ...


class Visit:
    """A browser with storage of its own, and its first tab."""

    def __init__(self, context: BrowserContext, page: Page, watch: "_Watch") -> None:
        self.context, self.page, self._watch = context, page, watch

    def allow(self, *texts: str) -> None:
        """Expect what goes wrong with one of these texts in it, also what went wrong before.

        Failed responses are told as `404 Not Found: GET …`, failed requests as
        `net::ERR_INTERNET_DISCONNECTED: POST …`.
        """
        self._watch.allowed.extend(texts)

    async def open_tab(self, path: str = "/inbox") -> Page:
        page = await self.context.new_page()
        await page.goto(path)
        return page

    async def check(self) -> None:
        """Raise AssertionError with all that went wrong so far and was not allowed."""
        for page in self.context.pages:
            await _hear_out(page)
        unexpected = self._watch.find_unexpected()
        assert not unexpected, "it went wrong in the browser:\n" + "\n".join(unexpected)


class _Watch:
    """What went wrong in all tabs, in its order."""

    def __init__(self, origin: str) -> None:
        self._origin = origin.rstrip("/") + "/"
        self.allowed: list[str] = []
        self._mishaps: list[str] = []

    def find_unexpected(self) -> list[str]:
        return [
            mishap
            for mishap in self._mishaps
            if not any(allowed in mishap for allowed in self.allowed)
        ]

    def listen(self, context: BrowserContext) -> None:
        """Before its first page is made."""
        context.on("console", self._hear)
        context.on("weberror", self._catch)
        context.on("dialog", self._dismiss)
        context.on("request", self._see_request)
        context.on("requestfailed", self._see_failure)
        context.on("response", self._see_response)
        context.on("page", self._listen_to_page)

    def _listen_to_page(self, page: Page) -> None:
        page.on("websocket", self._see_socket)
        page.on("crash", self._see_crash)

    def _hear(self, message: ConsoleMessage) -> None:
        text = message.text
        if message.type in ("error", "warning") and not text.startswith(_FAILED_LOAD):
            self._note(f"console {message.type}: {text}")

    def _catch(self, error: WebError) -> None:
        self._note(f"page error: {error.error.stack or error.error}")

    async def _dismiss(self, dialog: Dialog) -> None:
        self._note(f"dialog: {dialog.type} {dialog.message}")
        leaves = dialog.type == "beforeunload"
        with suppress(Error):  # its page was closed
            await (dialog.accept() if leaves else dialog.dismiss())

    def _see_request(self, request: Request) -> None:
        self._check_origin(request.url, request.method)

    def _see_socket(self, socket: WebSocket) -> None:
        self._check_origin(socket.url.replace("ws", "http", 1), "WebSocket")

    def _check_origin(self, url: str, method: str) -> None:
        if url.startswith(("http:", "https:")) and not url.startswith(self._origin):
            self._note(f"a request to another origin: {method} {url}")

    def _see_failure(self, request: Request) -> None:
        if request.failure != _ABORTED:
            self._note(f"{request.failure}: {request.method} {request.url}")

    def _see_response(self, response: Response) -> None:
        if response.status >= HTTPStatus.BAD_REQUEST:
            status = HTTPStatus(response.status)  # HTTP/2 has no phrases
            self._note(f"{status.value} {status.phrase}: {response.request.method} {response.url}")

    def _see_crash(self, page: Page) -> None:
        self._note(f"the page crashed: {page.url}")

    def _note(self, mishap: str) -> None:
        self._mishaps.append(mishap)


async def _hear_out(page: Page) -> None:
    """Wait for all that the page has said before: its events come in order."""
    with suppress(Error, TimeoutError):  # it was closed, or crashed
        async with asyncio.timeout(HEARD_SECONDS):
            await page.title()


@asynccontextmanager
async def launching() -> AsyncGenerator[Browser]:
    """Start Chromium; skip the test where there is none."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip("there is no Chromium here")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield browser
        await browser.close()


@asynccontextmanager
async def visiting(
    chromium: Browser, origin: str, **options: Unpack[Options]
) -> AsyncGenerator[Visit]:
    """Open a new browser with one tab; raise AssertionError at the end if anything went wrong.

    `origin`: the only one that may be asked for anything; paths are relative to it. What the block
    itself raises comes first: it tells more.
    """
    chosen: Options = {"viewport": DESK, **options}
    context = await chromium.new_context(base_url=origin, **chosen)
    try:
        context.set_default_timeout(PATIENCE_MS)
        await context.add_init_script(TELL_REPORTS)
        watch = _Watch(origin)
        watch.listen(context)
        visit = Visit(context, await context.new_page(), watch)
        yield visit
        await visit.check()
    finally:
        await context.close()
