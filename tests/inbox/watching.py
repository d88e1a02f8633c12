"""What nobody should see: what goes wrong in a browser fails the test, unless it was allowed."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus

from playwright.async_api import (
    BrowserContext,
    ConsoleMessage,
    Dialog,
    Error,
    Page,
    Request,
    Response,
    WebError,
    WebSocket,
)

HEARD_SECONDS = 5.0
# The console has no word of it where a page has taken `console` over.
TELL_REPORTS = """addEventListener("securitypolicyviolation", (report) => console.error(
    `CSP report: ${report.violatedDirective} ${report.blockedURI} ${report.sourceFile}`))"""
# What the browser and htmx say of a failed load: the watch says it with the address.
SAID_BETTER = (
    "Failed to load resource: ",
    "htmx:sendError",
    "htmx:afterRequest",
    "htmx:responseError",
    "Response Status Error Code",
)
PROVOKED = (
    "net::ERR_ABORTED",  # of a stream, when its page is left
    "net::ERR_INTERNET_DISCONNECTED",  # by `set_offline` alone
)
# What a page says to who went there or sent something. No part of a page is refused so.
SAID_TO_THE_PERSON = {401, 404, 409, 422, 429}


@asynccontextmanager
async def watching(context: BrowserContext, origin: str) -> AsyncGenerator["Watch"]:
    """Watch a browser that has no page yet; raise AssertionError at the end if anything went wrong.

    What the block itself raises comes first: it tells more.
    """
    await context.add_init_script(TELL_REPORTS)
    watch = Watch(origin)
    watch.listen(context)
    yield watch
    await check(context, watch)


async def check(context: BrowserContext, watch: "Watch") -> None:
    """Raise AssertionError with all that went wrong so far and was not allowed."""
    for page in context.pages:
        await _hear_out(page)
    unexpected = watch.find_unexpected()
    assert not unexpected, "it went wrong in the browser:\n" + "\n".join(unexpected)


async def _hear_out(page: Page) -> None:
    """Wait for all that the page has said before: its events come in order."""
    with suppress(Error, TimeoutError):  # it was closed, or crashed
        async with asyncio.timeout(HEARD_SECONDS):
            await page.title()


class Watch:
    """What went wrong in all tabs of a browser, in its order.

    `origin`: the only one that may be asked for anything.
    """

    def __init__(self, origin: str) -> None:
        self._origin = origin.rstrip("/") + "/"
        self._allowed: list[str] = []
        self._mishaps: list[str] = []

    def allow(self, *texts: str) -> None:
        """Expect what goes wrong with one of these texts in it, also what went wrong before.

        Failed responses are told as `503 Service Unavailable: POST …`, failed requests as
        `net::ERR_CONNECTION_REFUSED: GET …`. A 401, 404, 409, 422 or 429 that answers a post or a
        visit needs no leave: the page says it. Nor does who is offline.
        """
        self._allowed.extend(texts)

    def find_unexpected(self) -> list[str]:
        return [mishap for mishap in self._mishaps if not self._is_allowed(mishap)]

    def _is_allowed(self, mishap: str) -> bool:
        return any(text in mishap for text in self._allowed)

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
        if message.type in ("error", "warning") and not text.startswith(SAID_BETTER):
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
        if request.failure not in PROVOKED:
            self._note(f"{request.failure}: {request.method} {request.url}")

    def _see_response(self, response: Response) -> None:
        asked = response.request
        to_the_person = asked.is_navigation_request() or asked.method == "POST"
        if to_the_person and response.status in SAID_TO_THE_PERSON:
            return
        if response.status >= HTTPStatus.BAD_REQUEST:
            status = HTTPStatus(response.status)  # HTTP/2 has no phrases
            self._note(f"{status.value} {status.phrase}: {asked.method} {response.url}")

    def _see_crash(self, page: Page) -> None:
        self._note(f"the page crashed: {page.url}")

    def _note(self, mishap: str) -> None:
        self._mishaps.append(mishap)
