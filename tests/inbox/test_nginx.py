"""The runbook's configurations of nginx, run as they stand there: what people and programs get
through it, and what nobody can make the server believe.
"""

import json
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx
import pytest
from playwright.async_api import Browser
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from hitl_orchestrator.server.api.gate import MAX_BODY_BYTES
from hitl_orchestrator.server.limits import STREAMS
from hitl_orchestrator.server.proxies import BehindProxy, find_root_path, find_user
from hitl_orchestrator.server.settings import Settings
from tests.api.calls import QUESTIONS, is_problem, paused
from tests.inbox.nginx import (
    HOST,
    PREFIX,
    WITH_SIGN_IN,
    Nginx,
    answering,
    nginx,
)
from tests.processes import API_KEY, Running, serving

Json = dict[str, Any]
KEY = {"Authorization": f"Bearer {API_KEY}"}
CLIENT = "127.0.0.7"  # of loopback, yet not the proxy
FORGED = {
    "X-Forwarded-For": "198.51.100.1",
    "X-Forwarded-Proto": "http",
    "X-Forwarded-User": "mallory",
    "X-Forwarded-Host": "evil.example",
    "Forwarded": "for=198.51.100.1;proto=http",
    "X-Auth-Request-User": "mallory",
}
SPELLINGS = (
    "/api/runs",
    "//api/runs",
    "/%61pi/runs",
    "/x/../api/runs",
    "/hitl/api/runs",
    "/hitl/metrics",
)
STREAM_SECONDS = 2.0


@pytest.fixture
def server(database_url: str) -> Generator[Running]:
    with serving(database_url, "asks.py:agent", **WITH_SIGN_IN) as running:
        yield running


@pytest.fixture
def proxy(server: Running) -> Generator[Nginx]:
    with nginx(server.url) as running:
        yield running


def test_the_api_is_below_its_path_and_wants_its_key(proxy: Nginx) -> None:
    with proxy.client() as client:
        assert client.get("/api/runs", headers=KEY).json() == {"runs": [], "nextCursor": None}
        is_problem(client.get("/api/runs"), 401)
        is_problem(client.get("/api/runs", headers={"x-api-key": "wrong"}), 401)
        is_problem(client.get("/metrics"), 401)
        is_problem(client.get("/metrics", headers={"X-Forwarded-For": "127.0.0.1"}), 401)
        assert client.get("/healthz").json() == {"status": "alive"}


def test_links_redirects_and_the_described_addresses_stay_below_it(proxy: Nginx) -> None:
    with proxy.client() as client:
        bare = client.get(proxy.url)
        assert bare.status_code == 308
        assert httpx.URL(bare.headers["Location"]).path == f"{PREFIX}/"
        moved = client.get("/")
        assert moved.headers["Location"] == f"{PREFIX}/inbox"
        docs = f"{proxy.url}/docs"
        assert 'href="openapi.json"' in client.get(docs).text
        described = urljoin(docs, "openapi.json")
        servers = client.get(described).json()["servers"]
        runs = urljoin(described, servers[0]["url"]) + "/api/runs"
        assert client.get(runs, headers=KEY).status_code == 200


def test_no_spelling_of_a_path_leads_past_the_gate(proxy: Nginx) -> None:
    with proxy.client() as client:
        for path in SPELLINGS:
            url = httpx.URL(proxy.url).copy_with(raw_path=f"{PREFIX}{path}".encode())
            assert client.get(url).status_code in {401, 404}, path


def test_what_is_too_large_is_refused_in_the_servers_words(proxy: Nginx) -> None:
    with proxy.client(**KEY) as client:
        body = b"[" * (MAX_BODY_BYTES + 1)
        json_type = {"Content-Type": "application/json"}
        is_problem(client.post("/api/runs", content=body, headers=json_type), 413)


def test_an_event_arrives_at_once_while_its_stream_stays_open(proxy: Nginx) -> None:
    with proxy.client(**KEY) as client, client.stream("GET", "/api/hitl/events") as stream:
        assert stream.headers["Content-Type"].startswith("text/event-stream")
        question = QUESTIONS["freeform"]
        body = {"objective": "Ask", "inputs": {"question": question}, "outputs": ["answer"]}
        run: Json = client.post("/api/runs?wait=20", json=body).json()
        paused = time.monotonic()
        frame = next(
            json.loads(line.removeprefix("data: "))
            for line in stream.iter_lines()
            if line.startswith("data: ")
        )
        assert time.monotonic() - paused < STREAM_SECONDS
        assert frame["runId"] == run["runId"]


def test_a_client_is_limited_by_its_own_address_whatever_it_says(proxy: Nginx) -> None:
    with ExitStack() as stack:
        client = stack.enter_context(proxy.client(CLIENT, **KEY))
        other = stack.enter_context(proxy.client("127.0.0.8", **KEY))

        def listen(by: httpx.Client, number: int) -> int:
            says = {"X-Forwarded-For": f"198.51.100.{number}"}
            request = by.build_request("GET", "/api/hitl/events", headers=says)
            response = by.send(request, stream=True)
            stack.callback(response.close)
            return response.status_code

        with ThreadPoolExecutor(8) as pool:
            found = [*pool.map(listen, [client] * STREAMS, range(STREAMS))]
        assert found == [200] * STREAMS
        assert listen(client, STREAMS) == 503
        assert listen(other, STREAMS) == 200


# --- what arrives behind it ---


async def tell(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with what a route sees of its call."""
    seen = {
        "path": scope["path"],
        "client": scope["client"][0],
        "scheme": scope["scheme"],
        "host": Headers(scope=scope)["Host"],
        "prefix": find_root_path(scope),
        "user": find_user(scope),
    }
    await JSONResponse(seen)(scope, receive, send)


@pytest.fixture
def told() -> Generator[str]:
    """A server that tells, started as the runbook says."""
    settings = Settings.model_validate(WITH_SIGN_IN)
    with answering(BehindProxy(tell, settings)) as url:
        yield url


SEEN = {
    "path": "/inbox",
    "client": CLIENT,
    "scheme": "https",
    "host": HOST,
    "prefix": PREFIX,
    "user": None,
}


def test_address_scheme_and_name_are_the_clients_and_nothing_that_it_says(told: str) -> None:
    with nginx(told) as proxy, proxy.client(CLIENT) as client:
        for headers in ({}, FORGED):
            assert client.get("/inbox", headers=headers).json() == SEEN


def test_a_person_is_whom_the_proxy_has_signed_in_and_nobody_else(told: str) -> None:
    with nginx(told, user="ada") as proxy, proxy.client(CLIENT) as client:
        for headers in ({}, FORGED):
            assert client.get("/inbox", headers=headers).json() == {**SEEN, "user": "ada"}


def test_a_program_is_no_person(told: str) -> None:
    with nginx(told, user="ada") as proxy, proxy.client(CLIENT) as client:
        for headers in ({}, FORGED):
            seen = {**SEEN, "path": "/api/runs"}
            assert client.get("/api/runs", headers=headers).json() == seen


def test_whom_the_proxy_does_not_know_gets_no_page(server: Running) -> None:
    with nginx(server.url, user="") as proxy, proxy.client() as client:
        for headers in ({}, FORGED):
            asked = client.get("/docs", headers=headers)
            assert (asked.status_code, asked.text) == (403, "Sign in.")
            is_problem(client.get("/api/runs", headers=headers), 401)
        assert client.get("/api/runs", headers=KEY).status_code == 200
    with nginx(server.url, user="x" * 256) as proxy, proxy.client() as client:
        assert "x-forwarded-user" in is_problem(client.get("/docs"), 400)["detail"]


@pytest.mark.parametrize("user", [None, "ada"])
async def test_the_pages_work_below_the_path(
    server: Running, browser: Browser, user: str | None
) -> None:
    """Links, cookies and streams; and whom the proxy has signed in needs no key."""
    with nginx(server.url, user=user) as proxy:
        context = await browser.new_context(base_url=proxy.url + "/", ignore_https_errors=True)
        page = await context.new_page()
        port = urlsplit(proxy.url).port
        await page.goto(f"https://127.0.0.1:{port}{PREFIX}/inbox")
        if user is None:
            await page.fill("#key", API_KEY)
            await page.fill("#operator", "ada")
            await page.click("text=Sign in >> nth=-1")
            (cookie,) = [
                one for one in await context.cookies() if one.get("name") == "hitl_session"
            ]
            assert (cookie.get("path"), cookie.get("secure"), cookie.get("sameSite")) == (
                PREFIX,
                True,
                "Strict",
            )
        await page.wait_for_selector("#live >> text=Live")
        async with httpx.AsyncClient(base_url=server.url, headers=KEY) as api:
            run = await paused(api, QUESTIONS["approval"])
            await page.click("#rows .row >> text=Send it?")
            await page.wait_for_selector("#question[data-id]")
            await page.wait_for_timeout(500)
            await page.click("[value=approve]")
            await page.wait_for_selector("#receipt >> text=ada approved this")
            assert page.url.endswith(f"{PREFIX}/inbox")
            audit = (await api.get(f"/api/runs/{run['runId']}")).json()["metadata"]["auditLog"]
        assert [one["operator"]["id"] for one in audit if one["action"] == "resume"] == ["ada"]
        await page.click("text=Runs")
        await page.click("main .row")
        await page.wait_for_selector("text=chain verified")
        await context.close()
