"""Who is signed in, for how long, and what a key of which scope can do on the pages."""

import re
from collections.abc import AsyncGenerator
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest

from hitl_orchestrator.server.inbox import session
from hitl_orchestrator.server.inbox.session import TRIES, Sessions, Tries
from tests.api.calls import Json, paused, started
from tests.api.test_keys import add_key, revoke_key
from tests.processes import API_KEY

QUESTION = {"question": "Send it?", "kind": "approval"}
PAGES = ("/inbox", "/inbox/runs", "/inbox/decided", "/inbox/q/nobody", "/inbox/list", "/inbox/x")


@pytest.fixture
async def api(database_url: str) -> AsyncGenerator[httpx.AsyncClient]:
    async with started(database_url) as client:
        yield client


def as_browser(api: httpx.AsyncClient) -> httpx.AsyncClient:
    """The same server, for somebody who has shown no key yet."""
    return httpx.AsyncClient(transport=api._transport, base_url="http://localhost")  # pyright: ignore[reportPrivateUsage]


async def sign_in(page: httpx.AsyncClient, key: str = API_KEY, **form: str) -> httpx.Response:
    return await page.post("/login", data={"key": key, **form})


async def read_token(page: httpx.AsyncClient, path: str = "/inbox") -> str:
    found = re.search('name="csrf" value="([^"]+)"', (await page.get(path)).text)
    assert found
    return found[1]


async def decide(page: httpx.AsyncClient, run: Json, **form: str) -> httpx.Response:
    return await page.post(f"/inbox/q/{run['pendingRequestId']}", data=form)


async def test_without_a_session_every_page_leads_to_the_sign_in(api: httpx.AsyncClient) -> None:
    async with as_browser(api) as page:
        assert (await page.get("/")).headers["location"] == "/inbox"
        for path in PAGES:
            response = await page.get(path + "?text=a")
            assert response.status_code == 303, path
            address = response.headers["location"]
            assert address.startswith("/login?"), path
            assert parse_qs(address.partition("?")[2])["to"] == [path + "?text=a"]
        assert (await page.get("/inbox/news")).status_code == 303
        assert (await page.get("/inbox/static/inbox.css")).status_code == 200


@pytest.mark.parametrize(
    ("to", "leads"),
    [
        ("/inbox/q/x?text=a%20b", "/inbox/q/x?text=a%20b"),
        ("https://evil.example", "/inbox"),
        ("//evil.example", "/inbox"),
        ("/inboxes", "/inbox"),
        ("/inbox\\evil", "/inbox"),
        ("/api/runs", "/inbox"),
    ],
)
async def test_a_sign_in_leads_back_and_nowhere_else(
    api: httpx.AsyncClient, to: str, leads: str
) -> None:
    async with as_browser(api) as page:
        response = await sign_in(page, to=to)
        assert (response.status_code, response.headers["location"]) == (303, leads)
        cookie = response.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert "Secure" not in cookie
        assert API_KEY not in cookie


async def test_a_cookie_over_tls_is_secure(api: httpx.AsyncClient) -> None:
    async with as_browser(api) as page:
        page.base_url = "https://localhost"
        assert "Secure" in (await sign_in(page)).headers["set-cookie"]


@pytest.mark.parametrize(
    ("form", "signed"),
    [
        ({}, ("operator", None)),
        ({"operator": "ada", "name": "Ada"}, ("ada", "Ada")),
        ({"name": "Ada"}, ("Ada", "Ada")),
    ],
)
async def test_with_the_first_key_they_sign_as_they_say(
    api: httpx.AsyncClient, form: dict[str, str], signed: tuple[str, str | None]
) -> None:
    run = await paused(api, QUESTION)
    async with as_browser(api) as page:
        await sign_in(page, **form)
        response = await decide(page, run, csrf=await read_token(page), decision="approve")
        assert response.status_code == 303
        await page.post("/inbox/sign-out", data={"csrf": await read_token(page)})
        remembered = (await page.get("/login")).text
        assert f'value="{signed[1] or ""}"' in remembered
    (entry,) = await read_decisions(api, run)
    assert (entry["operator"]["id"], entry["operator"]["displayName"]) == signed
    assert entry["key"] is None


async def read_decisions(api: httpx.AsyncClient, run: Json) -> list[Any]:
    shown = (await api.get(f"/api/runs/{run['runId']}")).json()
    return [one for one in shown["metadata"]["auditLog"] if one["action"] == "resume"]


async def test_a_named_key_signs_with_its_name_until_it_is_revoked(
    api: httpx.AsyncClient, database_url: str
) -> None:
    first, second = await paused(api, QUESTION), await paused(api, QUESTION)
    key = await add_key(database_url, "grace", "decide")
    async with as_browser(api) as page:
        await sign_in(page, key, operator="ada", name="Ada")
        token = await read_token(page)
        assert (await decide(page, first, csrf=token, decision="approve")).status_code == 303
        (entry,) = await read_decisions(api, first)
        assert (entry["operator"]["id"], entry["key"]) == ("grace", "grace")
        assert entry["operator"]["displayName"] is None
        await revoke_key(database_url, "grace")
        ended = await decide(page, second, csrf=token, decision="approve")
        assert ended.status_code == 401
        assert await read_decisions(api, second) == []
        assert (await page.get("/inbox")).status_code == 303


@pytest.mark.parametrize(
    ("scope", "enters", "decides"),
    [("read", True, False), ("ask", False, False), ("decide", True, True), ("admin", True, True)],
)
async def test_what_each_scope_may_do_on_the_pages(
    api: httpx.AsyncClient, database_url: str, scope: str, enters: bool, decides: bool
) -> None:
    run = await paused(api, QUESTION)
    key = await add_key(database_url, "grace", scope)
    async with as_browser(api) as page:
        assert (await sign_in(page, key)).status_code == (303 if enters else 403)
        if not enters:
            return
        shown = (await page.get(f"/inbox/q/{run['pendingRequestId']}")).text
        assert ('value="approve"' in shown) is decides
        assert ("may read, not decide" in shown) is not decides
        token = await read_token(page)
        done = await decide(page, run, csrf=token, decision="approve")
        assert done.status_code == (303 if decides else 403)
        assert len(await read_decisions(api, run)) == decides


async def test_what_another_page_sends_decides_nothing(api: httpx.AsyncClient) -> None:
    run = await paused(api, QUESTION)
    async with as_browser(api) as page:
        await sign_in(page)
        token = await read_token(page)
        assert (await decide(page, run, decision="approve")).status_code == 403
        assert (await decide(page, run, csrf="wrong", decision="approve")).status_code == 403
        page.headers["Sec-Fetch-Site"] = "cross-site"
        assert (await decide(page, run, csrf=token, decision="approve")).status_code == 403
        assert (await page.post("/inbox/sign-out", data={"csrf": token})).status_code == 403
        assert (await page.post("/login", data={"key": API_KEY})).status_code == 403
    assert await read_decisions(api, run) == []


async def test_what_another_page_sends_is_not_kept_for_after_the_sign_in(
    api: httpx.AsyncClient,
) -> None:
    run = await paused(api, QUESTION)
    async with as_browser(api) as page:
        kept = await decide(page, run, reason="typed here")
        assert "typed+here" in kept.text
        page.headers["Sec-Fetch-Site"] = "cross-site"
        foreign = await decide(page, run, reason="typed there")
        assert (foreign.status_code, "typed+there" in foreign.text) == (403, False)


async def test_a_link_of_another_site_opens_the_page(api: httpx.AsyncClient) -> None:
    """A strict cookie does not come along with it; it does when the page opens itself."""
    async with as_browser(api) as page:
        page.headers["Sec-Fetch-Site"] = "cross-site"
        response = await page.get("/inbox/q/x")
        assert response.status_code == 200
        assert 'http-equiv="refresh"' in response.text


@pytest.mark.parametrize("cookie", ["", "x", "x.y.z", "Ww.x.y", "é"])
async def test_a_forged_cookie_is_none(api: httpx.AsyncClient, cookie: str) -> None:
    async with as_browser(api) as page:
        headers = {b"Cookie": f"hitl_session={cookie}".encode()}
        assert (await page.get("/inbox", headers=headers)).status_code == 303


@pytest.mark.parametrize(("seconds", "ended"), [(60, False), (-1, True)])
async def test_a_session_ends_by_itself(
    app_client: httpx.AsyncClient, seconds: int, ended: bool
) -> None:
    async with as_browser(app_client) as page:
        cookie = (await sign_in(page)).cookies["hitl_session"]
        assert cookie
    hitl: Any = None  # the first key is known without it
    found = await Sessions(API_KEY, seconds).read(hitl, cookie)
    assert (found is None) is ended


async def test_after_five_wrong_keys_a_client_waits(api: httpx.AsyncClient) -> None:
    async with as_browser(api) as page:
        answers = [(await sign_in(page, f"wrong {number}")).status_code for number in range(TRIES)]
        assert answers == [401] * TRIES
        waiting = await sign_in(page)
        assert waiting.status_code == 429
        assert "Wait a minute" in waiting.text
        assert "hitl_session" not in waiting.headers.get("set-cookie", "")


def test_tries_are_forgotten_after_a_minute_and_take_no_room() -> None:
    clock = iter([0.0] * 12 + [session.TRIES_SECONDS + 1] * (session.MOST_CLIENTS * 3))
    tries = Tries(lambda: next(clock))
    for _ in range(TRIES):
        assert not tries.are_too_many("a")
        tries.note_failure("a")
    assert tries.are_too_many("a")
    assert not tries.are_too_many("b")
    while next(clock) == 0:
        pass
    assert not tries.are_too_many("a")
    for number in range(session.MOST_CLIENTS + 5):
        tries.note_failure(str(number))
    assert len(tries._failures) <= session.MOST_CLIENTS  # pyright: ignore[reportPrivateUsage]


async def test_bad_input_is_told_on_a_page(api: httpx.AsyncClient) -> None:
    run = await paused(api, QUESTION)
    async with as_browser(api) as page:
        await sign_in(page)
        token = await read_token(page)
        for path, code in (
            ("/inbox/q/nobody", 404),
            ("/inbox/runs/nobody", 404),
            ("/inbox/nothing", 404),
            ("/inbox?cursor=x", 422),
            ("/inbox/runs?cursor=x", 422),
            ("/inbox/decided?cursor=x", 422),
        ):
            response = await page.get(path)
            assert (response.status_code, response.headers["content-type"][:9]) == (
                code,
                "text/html",
            ), path
        for form in ({}, {"decision": "unknown"}, {"decision": "edit"}, {"decision": "choose"}):
            assert (await decide(page, run, csrf=token, **form)).status_code == 422
        huge = await decide(page, run, csrf=token, decision="reject", reason="x" * 2**20)
        assert huge.status_code == 413
        broken = await page.post(f"/inbox/q/{run['pendingRequestId']}", content=b"csrf=%ff&a=%80")
        assert broken.status_code in (403, 422)
    assert await read_decisions(api, run) == []
