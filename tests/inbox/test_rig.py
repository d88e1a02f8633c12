"""The rig itself: it fails where it should, and only there."""

from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Unpack

import pytest
from playwright.async_api import Browser

from tests.inbox import axe
from tests.inbox.browser import PHONE, Options, visiting

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
    "/dim": "<main><h1>Dim</h1><p id=dim>Who can read this?</p><img src=/favicon.ico></main>",
    "/call.js": "console.error('no such call')",
    "/warn.js": "console.warn('be careful')",
    "/throw.js": "setTimeout(() => { throw new Error('thrown') })",
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
        text = PAGES.get(self.path)
        suffix = self.path.rpartition(".")[2]
        if self.path == "/favicon.ico":
            self.send_response(204)
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
        ("/nowhere", "404 Not Found: GET"),
    ],
)
async def test_what_goes_wrong_fails_the_visit(
    chromium: Browser, origin: str, path: str, told: str
) -> None:
    with pytest.raises(AssertionError) as failed:
        await look_at(chromium, origin, path)
    assert told in str(failed.value)


async def look_at(chromium: Browser, origin: str, *paths: str, **options: Unpack[Options]) -> None:
    """Open each in a tab and close it, where the first stays open."""
    async with visiting(chromium, origin, **options) as visit:
        await visit.page.goto(paths[0])
        await visit.page.wait_for_load_state("networkidle")
        for path in paths[1:]:
            page = await visit.open_tab(path)
            await page.close()


async def test_a_page_where_nothing_goes_wrong_passes(chromium: Browser, origin: str) -> None:
    async with visiting(chromium, origin) as visit:
        await visit.page.goto("/fine")
        await axe.check(visit.page)


async def test_what_is_allowed_passes_and_nothing_else(chromium: Browser, origin: str) -> None:
    async with visiting(chromium, origin) as visit:
        await visit.page.goto("/misses")
        visit.allow("Not Found")
        await visit.page.goto("/calls")
        with pytest.raises(AssertionError, match=r"no such call$"):
            await visit.check()
        visit.allow("no such call")


async def test_other_tabs_are_watched_too(chromium: Browser, origin: str) -> None:
    with pytest.raises(AssertionError, match="no such call"):
        await look_at(chromium, origin, "/fine", "/calls")


async def test_without_script_the_policy_is_watched_by_the_console(
    chromium: Browser, origin: str
) -> None:
    with pytest.raises(AssertionError, match="Content Security Policy"):
        await look_at(chromium, origin, "/styled", java_script_enabled=False)


async def test_who_is_offline_is_told(chromium: Browser, origin: str) -> None:
    async with visiting(chromium, origin) as visit:
        await visit.page.goto("/fine")
        await visit.context.set_offline(True)
        visit.allow("net::ERR_INTERNET_DISCONNECTED: GET")
        fetched = "fetch('/fine').then(() => 'came', () => 'away')"
        assert await visit.page.evaluate(fetched) == "away"


@pytest.mark.parametrize(
    ("options", "query"),
    [
        (Options(viewport=PHONE), "(width: 375px) and (height: 812px)"),
        (Options(color_scheme="dark"), "(prefers-color-scheme: dark)"),
        (Options(), "(prefers-color-scheme: light) and (width: 1280px)"),
        (Options(reduced_motion="reduce"), "(prefers-reduced-motion: reduce)"),
    ],
)
async def test_a_browser_is_of_the_kind_that_was_wanted(
    chromium: Browser, origin: str, options: Options, query: str
) -> None:
    async with visiting(chromium, origin, **options) as visit:
        await visit.page.goto("/fine")
        assert await visit.page.evaluate("(query) => matchMedia(query).matches", query)


async def test_a_violation_is_told_with_its_rule_target_and_html(
    chromium: Browser, origin: str
) -> None:
    async with visiting(chromium, origin) as visit:
        await visit.page.goto("/dim")
        with pytest.raises(AssertionError) as failed:
            await axe.check(visit.page)
    told = str(failed.value)
    assert "color-contrast: " in told
    assert "#dim" in told
    assert '<p id="dim">Who can read this?</p>' in told
    assert "image-alt: " in told
