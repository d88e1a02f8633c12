"""People are told of each question by a line and a link. GET shows, POST decides."""

import asyncio
import json
import logging
import re
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import psycopg
import pytest

from hitl_orchestrator.checkpoints.pool import connection_pool
from hitl_orchestrator.checkpoints.retention import prune
from hitl_orchestrator.domain.errors import ConfigurationError
from hitl_orchestrator.domain.notices import LONGEST_LINE, Receiver, read_receivers
from hitl_orchestrator.domain.records import JsonObject
from hitl_orchestrator.domain.webhooks import CREATED, PAUSES, find_request_id, find_type
from hitl_orchestrator.server.app import create_app
from hitl_orchestrator.server.links import LASTS, AnswerLinks
from hitl_orchestrator.server.orchestrator import Orchestrator
from hitl_orchestrator.server.protocols.room import check_extra
from hitl_orchestrator.server.settings import Settings, load_settings
from tests.api.calls import QUESTIONS, Json, answer, paused, started
from tests.inbox.browser import chromium
from tests.processes import API_KEY, serving
from tests.test_fitting import asked

PUBLIC = "https://ops.example.com/hitl"
PASSWORD = "hunter2-of-the-receiver"
UNTOLD = "SELECT count(*) FROM webhook_endpoints w, run_events e WHERE e.queue_seq > w.cursor"
NOW = datetime(2026, 11, 28, tzinfo=UTC)

# of a module of Python's that apprise looks for
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")


@dataclass
class Phone:
    """Where apprise's `json://` leads: a real server. `replies`: of tries to come; then 200."""

    address: str = ""
    replies: list[int] = field(default_factory=list[int])
    tried: list[Json] = field(default_factory=list[Json])
    taken: list[Json] = field(default_factory=list[Json])

    def ring(self, said: Json) -> int:
        self.tried.append(said)
        status = self.replies.pop(0) if self.replies else 200
        if status == 200:
            self.taken.append(said)
        return status

    async def wait(self, number: int, what: str = "taken") -> list[Json]:
        for _ in range(300):
            if len(found := getattr(self, what)) >= number:
                return found
            await asyncio.sleep(0.05)
        raise AssertionError(f"{number} were to come; {getattr(self, what)}")

    async def read_link(self, number: int = 1) -> str:
        """Return the path of the link in that notice."""
        said = (await self.wait(number))[number - 1]["message"]
        found = re.search(rf"{re.escape(PUBLIC)}(/\S+)", said)
        assert found, said
        return found[1]


@contextmanager
def ringing() -> Generator[Phone]:
    phone = Phone()

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(phone.ring(said))
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    phone.address = f"json://ada:{PASSWORD}@127.0.0.1:{server.server_port}/ring"
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield phone
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def phone() -> Generator[Phone]:
    with ringing() as found:
        yield found


@pytest.fixture
async def api(database_url: str, phone: Phone) -> AsyncGenerator[httpx.AsyncClient]:
    settings = {"notify": f"ada={phone.address}", "public_url": PUBLIC}
    async with started(database_url, **settings) as client:
        yield client


@pytest.fixture
def page(api: httpx.AsyncClient) -> httpx.AsyncClient:
    """The same server, for somebody without a key."""
    transport = api._transport  # pyright: ignore[reportPrivateUsage]
    return httpx.AsyncClient(transport=transport, base_url="http://localhost")


async def read_decisions(api: httpx.AsyncClient, run: Json) -> list[Json]:
    shown = (await api.get(f"/api/runs/{run['runId']}")).json()
    return [one for one in shown["metadata"]["auditLog"] if one["action"] == "resume"]


def execute(database_url: str, statement: str) -> list[Any]:
    with psycopg.connect(database_url, autocommit=True) as conn:
        done = conn.execute(statement.encode())
        return [row[0] for row in done.fetchall()] if done.description else []


def let_time_pass(database_url: str) -> None:
    execute(database_url, "UPDATE webhook_endpoints SET next_try_at = now(), leased_until = NULL")


def ask(api: httpx.Client, question: Json) -> Json:
    asking = {"objective": "Ask", "inputs": {"question": question}, "outputs": ["answer"]}
    return api.post("/api/runs?wait=20", json=asking).raise_for_status().json()


async def test_a_link_shows_its_question_and_answers_it_in_its_persons_name(
    api: httpx.AsyncClient, page: httpx.AsyncClient, phone: Phone
) -> None:
    run = await paused(api, {**QUESTIONS["approval"], "urgency": "normal"})
    link = await phone.read_link()
    assert phone.taken[0]["title"].endswith(" asks")
    assert "all" not in phone.taken[0]["message"].partition(PUBLIC)[0], "no arguments"
    for _ in range(2):  # whoever looks, and however often
        shown = await page.get(link)
        assert (shown.status_code, "Send it?" in shown.text) == (200, True)
        assert "<script" not in shown.text
        assert shown.headers["Referrer-Policy"] == "no-referrer"
        assert shown.headers["Cache-Control"] == "no-store"
    assert await read_decisions(api, run) == []
    done = await page.post(link, data={"decision": "approve", "note": "from the train"})
    assert (done.status_code, done.headers["location"]) == (303, link)
    (entry,) = await read_decisions(api, run)
    assert (entry["operator"]["id"], entry["note"]) == ("ada", "from the train")
    (request,) = (await api.get(f"/api/runs/{run['runId']}")).json()["requests"]
    assert request["responses"][0]["metadata"]["via"] == "link"
    over = (await page.get(link)).text
    assert "approved this" in over
    assert "Send it?" not in over, "a link ends with its question"


async def test_an_answer_that_does_not_fit_decides_nothing_and_stays(
    api: httpx.AsyncClient, page: httpx.AsyncClient, phone: Phone
) -> None:
    run = await paused(api, QUESTIONS["form"])
    link = await phone.read_link()
    refused = await page.post(link, data={"decision": "form", "/n": "many"})
    assert (refused.status_code, 'value="many"' in refused.text) == (422, True)
    assert 'action="' + link in refused.text
    assert await read_decisions(api, run) == []
    assert (await page.post(link, data={"decision": "form", "/n": "7"})).status_code == 303


async def test_who_comes_second_hears_who_was_first(
    api: httpx.AsyncClient, page: httpx.AsyncClient, phone: Phone
) -> None:
    run = await paused(api, QUESTIONS["freeform"])
    link = await phone.read_link()
    operator = {"id": "grace"}
    response = {"requestId": run["pendingRequestId"], "freeformText": "left"}
    body = {"runId": run["runId"], "requestId": run["pendingRequestId"], "responses": [response]}
    assert (await api.post("/api/hitl/resume", json={**body, "operator": operator})).is_success
    late = await page.post(link, data={"decision": "write", "text": "to the right"})
    assert late.status_code == 409
    assert ("Not taken." in late.text, "grace" in late.text) == (True, True)
    assert "to the right" in late.text, "what was typed can be copied"
    assert len(await read_decisions(api, run)) == 1


async def test_a_link_cancels_nothing_and_grave_ones_ask_again(
    api: httpx.AsyncClient, page: httpx.AsyncClient, phone: Phone
) -> None:
    run = await paused(api, {**QUESTIONS["approval"], "urgency": "high"})
    link = await phone.read_link()
    assert phone.taken[0]["title"].startswith("High urgency: ")
    assert 'value="cancel"' not in (await page.get(link)).text
    cancelled = await page.post(link, data={"decision": "cancel", "confirmed": "1"})
    assert cancelled.status_code == 403
    asked_again = await page.post(link, data={"decision": "approve"})
    assert (asked_again.status_code, 'name="confirmed"' in asked_again.text) == (200, True)
    assert 'action="' + link in asked_again.text
    elsewhere = {"Sec-Fetch-Site": "cross-site"}
    sent = await page.post(link, data={"decision": "reject"}, headers=elsewhere)
    assert sent.status_code == 403
    assert (await api.get(f"/api/runs/{run['runId']}")).json()["status"] == "awaiting_hitl"


async def test_a_link_that_is_none_shows_nothing(
    api: httpx.AsyncClient, page: httpx.AsyncClient, phone: Phone
) -> None:
    run = await paused(api)
    link = await phone.read_link()
    body, _, signature = link.rpartition("/")[2].rpartition(".")
    for token in (f"{body}.{signature[::-1]}", body, f"x{body}.{signature}", "é", "a/b"):
        for response in (
            await page.get(f"/answer/{token}"),
            await page.post(f"/answer/{token}", data={"decision": "write", "text": "x"}),
        ):
            assert response.status_code == 404
            assert "What now?" not in response.text
    assert await read_decisions(api, run) == []


def test_a_link_ends_with_its_time_its_key_and_its_entry() -> None:
    request = asked(kind="freeform")
    ada, other = Receiver("json://a:b@host", "ada"), Receiver("json://a:c@host", "ada")
    links = AnswerLinks("key", PUBLIC, [ada])
    token = links.write(ada, request, NOW).rpartition("/")[2]
    found = links.read(token, NOW)
    assert found
    assert (found.person.id, found.request_id) == ("ada", request.requestId)
    assert links.read(token, NOW + LASTS) is None
    assert AnswerLinks("another", PUBLIC, [ada]).read(token, NOW) is None
    assert AnswerLinks("key", PUBLIC, [other]).read(token, NOW) is None
    soon = request.but(expiresAt=NOW + timedelta(minutes=1))
    token = links.write(ada, soon, NOW).rpartition("/")[2]
    assert links.read(token, NOW + timedelta(minutes=1)) is None


async def test_a_receiver_that_is_nobody_gets_the_link_to_the_sign_in(
    database_url: str, phone: Phone
) -> None:
    async with started(database_url, notify=phone.address, public_url=PUBLIC) as api:
        run = await paused(api, {**QUESTIONS["freeform"], "question": "long " * 200})
        assert await phone.read_link() == f"/inbox/q/{run['pendingRequestId']}"
        assert len(phone.taken[0]["message"].splitlines()[0]) == LONGEST_LINE


async def test_what_is_not_taken_is_tried_again_and_not_once_it_was_answered(
    api: httpx.AsyncClient, database_url: str, phone: Phone, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    phone.replies += [503, 503]
    first = await paused(api, {**QUESTIONS["freeform"], "question": "First?"})
    await phone.wait(1, "tried")
    let_time_pass(database_url)
    await phone.wait(2, "tried")
    second = await paused(api, {**QUESTIONS["freeform"], "question": "Second?"})
    await answer(api, first, freeformText="x")
    let_time_pass(database_url)
    (notice,) = await phone.wait(1)
    assert "Second?" in notice["message"], "nobody is told of what is answered"
    assert second["pendingRequestId"]
    kept = "".join(
        execute(database_url, "SELECT url || coalesce(last_error, '') FROM webhook_endpoints")
    )
    assert "HITL_NOTIFY ada=json" in kept
    assert PASSWORD not in kept + caplog.text
    assert "/answer/" not in caplog.text


async def test_a_defect_of_who_tells_is_a_try_in_vain_and_holds_nothing_up(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    told = list[str]()

    async def tell(frame: JsonObject) -> None:
        if find_type(frame) != CREATED:
            return
        told.append(find_request_id(frame))
        if len(told) <= len(PAUSES) + 1:
            raise KeyError(PASSWORD)

    settings = Settings.model_validate({"database_url": database_url})
    async with started(database_url) as api, Orchestrator.open(settings) as other:
        await other.listen("listener", "a test", [CREATED], tell)
        first, second = await paused(api), await paused(api)
        for _ in range(600):
            if second["pendingRequestId"] in told:
                break
            execute(database_url, "UPDATE webhook_endpoints SET next_try_at = now()")
            await asyncio.sleep(0.05)
    assert told == [first["pendingRequestId"]] * (len(PAUSES) + 1) + [second["pendingRequestId"]]
    dead = execute(database_url, "SELECT why FROM webhook_dead_letters")
    assert (dead, PASSWORD in caplog.text) == (["KeyError"], False)


async def test_several_servers_send_once_and_one_without_the_setting_leaves_it_to_them(
    database_url: str, phone: Phone
) -> None:
    settings = {"notify": f"ada={phone.address}", "public_url": PUBLIC}
    async with started(database_url, **settings), started(database_url, **settings) as api:
        for number in range(1, 6):
            await paused(api)
            await phone.wait(number)
    async with started(database_url) as api:
        await answer(api, await paused(api), freeformText="x")
        await paused(api)
        await asyncio.sleep(0.5)
    async with connection_pool(database_url, max_size=2) as pool:
        assert await prune(pool, timedelta(0)) == 1, "who is not told keeps no ended run"
    assert len(phone.tried) == 5
    assert execute(database_url, "SELECT attempts FROM webhook_endpoints") == [0]
    async with started(database_url, **settings):
        await phone.wait(6)


async def test_after_a_kill_the_next_server_tells_at_least_once(
    database_url: str, phone: Phone
) -> None:
    settings = {"HITL_NOTIFY": f"ada={phone.address}", "HITL_PUBLIC_URL": PUBLIC}
    questions = [f"Question {number}?" for number in range(5)]
    with serving(database_url, "asks.py:agent", **settings) as server, server.client() as api:
        for question in questions:
            ask(api, {**QUESTIONS["freeform"], "question": question})
        await phone.wait(2)
        server.kill()
        assert PASSWORD not in server.log.read_text()
    let_time_pass(database_url)
    with serving(database_url, "asks.py:agent", **settings):
        await phone.wait(5)
        for _ in range(200):
            if execute(database_url, UNTOLD) == [0]:
                break
            await asyncio.sleep(0.05)
    told = [one["message"].splitlines()[0] for one in phone.taken]
    assert list(dict.fromkeys(told)) == questions
    assert len(told) <= 6, "the one that was being told may come twice"


async def test_in_a_browser(database_url: str, phone: Phone) -> None:
    settings = {"HITL_NOTIFY": f"ada={phone.address}", "HITL_PUBLIC_URL": PUBLIC}
    with serving(database_url, "asks.py:agent", **settings) as server, server.client() as api:
        run = ask(api, QUESTIONS["approval"])
        link = await phone.read_link()
        async with chromium() as browser:
            tab = await browser.new_page()
            await tab.goto(server.url + link)
            await tab.get_by_role("link", name="Edit").click()
            await tab.get_by_label("to").fill("one")
            await tab.get_by_role("button", name="Approve with changes").click()
            await tab.get_by_text("ada approved this with changes").wait_for()
        (given,) = api.get(f"/api/runs/{run['runId']}").json()["requests"][0]["responses"]
        assert given["editedArguments"] == {"to": "one"}


def test_entries_are_read_with_their_people() -> None:
    text = "ada=mailto://a:b@x.org?to=a@x.org,b@x.org, slack://T/B/X\n grace.h=json://host"
    assert read_receivers(text) == [
        Receiver("mailto://a:b@x.org?to=a@x.org,b@x.org", "ada"),
        Receiver("slack://T/B/X"),
        Receiver("json://host", "grace.h"),
    ]


@pytest.mark.parametrize("text", ["word", "ada=", "=json://host", "json://", "json://a, ada b"])
def test_what_is_no_address_stops_the_start_and_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HITL_NOTIFY", text)
    with pytest.raises(ConfigurationError, match="HITL_NOTIFY is a secret whose value") as refused:
        load_settings()
    assert text not in refused.value.detail.partition("Allowed:")[0]


async def test_an_address_that_apprise_does_not_know_is_named_without_its_secrets(
    database_url: str,
) -> None:
    notify = f"json://host, carrier-pigeon://{PASSWORD}"
    with pytest.raises(ConfigurationError, match="entry 2, carrier-pigeon") as refused:
        async with started(database_url, notify=notify, public_url=PUBLIC):
            pass
    assert PASSWORD not in refused.value.detail


def test_a_setting_that_needs_more_than_there_is_names_it() -> None:
    settings = Settings.model_validate({"notify": "json://host", "api_key": API_KEY})
    with pytest.raises(ConfigurationError, match="HITL_PUBLIC_URL"):
        create_app(settings)
    with pytest.raises(ConfigurationError, match=r"pip install 'hitl-orchestrator\[x\]'"):
        check_extra(settings, "HITL_X", "no_such_package", "x")
