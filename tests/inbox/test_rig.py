"""The rig itself: it fails where it should, and only there."""

from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from playwright.async_api import Browser, Page

from tests.inbox.axe import find_violations
from tests.inbox.watching import Watch, check, watching

FINE = "<main><h1>Fine</h1><p>Nothing is wrong here.</p></main>"
PAGES = {
    "/fine": FINE,
    "/calls": f"{FINE}<script src=/call.js></script>",
    "/warns": f"{FINE}<script src=/warn.js></script>",
    "/throws": f"{FINE}<script src=/throw.js></script>",
    "/asks": f"{FINE}<script src=/ask.js></script>",
    "/inline": f"{FINE}<script>console.log('never')</script>",
    "/styled": f"{FINE}<p style='color: red'>Red</p>",
    "/leaves": f"{FINE}<img alt='' src=https://elsewhere.example/pixel.png>",
    "/misses": f"{FINE}<img alt='' src=/missing.png>",
    "/breaks": FINE,
    "/reaches": f"{FINE}<script src=/reach.js></script>",
    "/dim": "<main><h1>Dim</h1><p id=dim>Who can read this?</p><img src=/favicon.ico></main>",
    "/call.js": "console.error('no such call')",
    "/warn.js": "console.warn('be careful')",
    "/throw.js": "setTimeout(() => { throw new Error('thrown') })",
    "/reach.js": "fetch('/hangs-up').catch(() => {})",
    "/ask.js": "setTimeout(() => alert('really?'))",
    "/dim.css": "#dim { color: #ccc; background: white }",
}
HEAD = (
    "<!doctype html><html lang=en><head><title>Rig</title>"
    "<meta name=viewport content='width=device-width'><link rel=stylesheet href=/dim.css></head>"
)
TYPES = {"js": "text/javascript", "css": "text/css"}


class Pages(BaseHTTPRequestHandler):
    """Serves PAGES under the policy that the server has."""

    def do_GET(self) -> None:
        if self.path == "/hangs-up":
            return
        text = PAGES.get(self.path)
        suffix = self.path.rpartition(".")[2]
        if self.path == "/favicon.ico":
            self.send_response(204)
        elif self.path == "/breaks":
            self.send_response(503)
        elif text is None:
            self.send_response(404)
        else:
            self.send_response(200)
        self.send_header("Content-Type", TYPES.get(suffix, "text/html; charset=utf-8"))
        if self.path != "/leaves":
            self.send_header("Content-Security-Policy", "default-src 'self'")
        self.end_headers()
        if self.path != "/favicon.ico":
            text = text or "<main><h1>Not here</h1></main>"
            self.wfile.write((text if suffix in TYPES else HEAD + text).encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@contextmanager
def serve_pages() -> Generator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def origin() -> Generator[str]:
    with serve_pages() as origin:
        yield origin


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/calls", "console error: no such call"),
        ("/warns", "console warning: be careful"),
        ("/throws", "page error: Error: thrown"),
        ("/asks", "dialog: alert really?"),
        ("/inline", "CSP report: script-src-elem inline"),
        ("/styled", "CSP report: style-src-attr inline"),
        ("/leaves", "a request to another origin: GET https://elsewhere.example/pixel.png"),
        ("/misses", "404 Not Found: GET"),
        ("/breaks", "503 Service Unavailable: GET"),
        ("/reaches", "net::ERR_EMPTY_RESPONSE: GET"),
    ],
)
async def test_what_goes_wrong_is_told(browser: Browser, origin: str, path: str, told: str) -> None:
    with pytest.raises(AssertionError) as failed:
        await look_at(browser, origin, path)
    assert told in str(failed.value)


async def test_a_page_where_nothing_goes_wrong_passes(browser: Browser, origin: str) -> None:
    async with opened(browser, origin) as (page, _):
        await page.goto("/fine")
        assert await find_violations(page) == []


async def test_what_is_allowed_passes_and_nothing_else(browser: Browser, origin: str) -> None:
    async with opened(browser, origin) as (page, watch):
        await page.goto("/misses")
        watch.allow("404 Not Found")
        await page.goto("/calls")
        with pytest.raises(AssertionError, match=r"no such call$"):
            await check(page.context, watch)
        watch.allow("no such call")


async def test_other_tabs_are_watched_too(browser: Browser, origin: str) -> None:
    with pytest.raises(AssertionError, match="no such call"):
        await look_at(browser, origin, "/fine", "/calls")


async def test_without_script_the_policy_is_watched_by_the_console(
    browser: Browser, origin: str
) -> None:
    with pytest.raises(AssertionError, match="Content Security Policy"):
        await look_at(browser, origin, "/styled", java_script_enabled=False)


async def test_what_a_test_provokes_or_a_page_says_passes(browser: Browser, origin: str) -> None:
    async with opened(browser, origin) as (page, _):
        await page.goto("/nowhere")
        await page.goto("/fine")
        await page.context.set_offline(True)
        fetched = "fetch('/fine').then(() => 'came', () => 'away')"
        assert await page.evaluate(fetched) == "away"


async def test_a_violation_is_told_with_its_rule_target_and_html(
    browser: Browser, origin: str
) -> None:
    async with opened(browser, origin) as (page, _):
        await page.goto("/dim")
        assert await find_violations(page) == [
            'color-contrast: #dim: <p id="dim">Who can read this?</p>',
            'image-alt: img: <img src="/favicon.ico">',
        ]


async def look_at(browser: Browser, origin: str, *paths: str, **options: Any) -> None:
    """Open each in a tab, and close all but the first."""
    async with opened(browser, origin, **options) as (page, _):
        await page.goto(paths[0])
        await page.wait_for_load_state("networkidle")
        for path in paths[1:]:
            other = await page.context.new_page()
            await other.goto(path)
            await other.close()


@asynccontextmanager
async def opened(
    browser: Browser, origin: str, **options: Any
) -> AsyncGenerator[tuple[Page, Watch]]:
    context = await browser.new_context(base_url=origin, **options)
    try:
        async with watching(context, origin) as watch:
            yield await context.new_page(), watch
    finally:
        await context.close()
