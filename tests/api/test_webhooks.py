"""Who is told of the queue's frames: signed, in order, each at least once."""

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import httpx
import pytest
from psycopg import AsyncConnection
from standardwebhooks import Webhook

from hitl_orchestrator.checkpoints import webhooks
from hitl_orchestrator.checkpoints.pool import connection, connection_pool
from hitl_orchestrator.checkpoints.retention import prune
from hitl_orchestrator.domain.errors import Invalid
from hitl_orchestrator.domain.webhooks import (
    PAUSES,
    TYPES,
    Endpoint,
    check_address,
    check_host,
    matches,
    read_events,
)
from tests.api.calls import Json, answer, paused, started
from tests.processes import HITL

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ALL: tuple[str, ...] = ()


@dataclass
class Receiver:
    """A real server. `replies`: the status of each try that follows; then 204."""

    url: str = ""
    replies: list[int] = field(default_factory=list[int])
    tried: list[Json] = field(default_factory=list[Json])
    taken: list[Json] = field(default_factory=list[Json])

    def take(self, headers: dict[str, str], body: bytes) -> int:
        said = Webhook(SECRET).verify(body, headers)  # raises where the signature is not right
        said["id"] = headers["webhook-id"]
        self.tried.append(said)
        status = self.replies.pop(0) if self.replies else 204
        if status == 204:
            self.taken.append(said)
        return status

    async def wait(self, number: int, what: str = "taken") -> list[Json]:
        for _ in range(200):
            found: list[Json] = getattr(self, what)
            if len(found) >= number:
                await asyncio.sleep(0.1)
                return found
            await asyncio.sleep(0.05)
        raise AssertionError(f"{number} were to come; {getattr(self, what)}")


@contextmanager
def receiving() -> Generator[Receiver]:
    receiver = Receiver()

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(receiver.take(dict(self.headers), body))
            self.send_header("Location", receiver.url)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    receiver.url = f"http://127.0.0.1:{server.server_port}/hook"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def receiver() -> Generator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture
async def api(database_url: str) -> AsyncGenerator[httpx.AsyncClient]:
    async with started(database_url, webhooks_private=True) as client:
        yield client


async def add(
    database_url: str, receiver: Receiver, events: tuple[str, ...] = ALL, name: str = "one"
) -> None:
    async with connection_pool(database_url, max_size=1) as pool, connection(pool) as conn:
        endpoint = Endpoint(name, receiver.url, SECRET, read_events(events), None, 0)
        await webhooks.add(conn, endpoint)


async def execute(database_url: str, statement: str) -> list[Any]:
    async with await AsyncConnection.connect(database_url, autocommit=True) as conn:
        done = await conn.execute(statement.encode())
        return [row[0] for row in await done.fetchall()] if done.description else []


async def let_time_pass(database_url: str) -> None:
    await execute(
        database_url, "UPDATE webhook_endpoints SET next_try_at = now(), leased_until = now()"
    )


@pytest.fixture
async def told(
    api: httpx.AsyncClient, database_url: str, receiver: Receiver
) -> tuple[Receiver, Json]:
    """A receiver of all events, and a run that waits, of which it knows."""
    await add(database_url, receiver)
    run = await paused(api)
    await receiver.wait(1)
    return receiver, run


async def test_it_is_told_in_order_and_thinly(
    api: httpx.AsyncClient, told: tuple[Receiver, Json]
) -> None:
    receiver, run = told
    await answer(api, run, freeformText="a secret word")
    created, resolved, completed = await receiver.wait(3)
    assert [one["type"] for one in (created, resolved, completed)] == [
        "hitl.request.created",
        "hitl.request.resolved",
        "hitl.run.completed",
    ]
    request_id = run["requests"][0]["requestId"]
    assert created["data"]["requestId"] == resolved["data"]["requestId"] == request_id
    assert (created["data"]["question"], created["data"]["kind"]) == ("What now?", "freeform")
    assert created["data"]["path"] == f"/inbox/q/{request_id}"
    assert completed["data"]["path"] == f"/inbox/runs/{run['runId']}"
    numbers = [one["data"]["seq"] for one in receiver.taken]
    assert numbers == sorted(numbers)
    assert [one["id"] for one in receiver.taken] == [f"evt_{number}" for number in numbers]
    assert "a secret word" not in json.dumps(receiver.taken)
    assert receiver.tried == receiver.taken


async def test_who_wants_some_events_is_told_of_these(
    api: httpx.AsyncClient, database_url: str, receiver: Receiver
) -> None:
    await add(database_url, receiver, ("run.completed", "request.denied"))
    run = await paused(api)
    await answer(api, run, freeformText="x")
    (completed,) = await receiver.wait(1)
    assert completed["type"] == "hitl.run.completed"


async def test_what_is_not_taken_is_tried_again_and_what_follows_waits(
    api: httpx.AsyncClient, database_url: str, told: tuple[Receiver, Json]
) -> None:
    receiver, run = told
    receiver.replies += [503, 307]  # nobody is led anywhere
    await answer(api, run, freeformText="x")
    await receiver.wait(2, "tried")
    await let_time_pass(database_url)
    await receiver.wait(3, "tried")
    await asyncio.sleep(0.3)
    assert (len(receiver.tried), len(receiver.taken)) == (3, 1)
    await let_time_pass(database_url)
    await receiver.wait(3)
    assert [one["id"] for one in receiver.tried[1:4]] == [receiver.tried[1]["id"]] * 3
    assert [one["type"] for one in receiver.taken] == [
        "hitl.request.created",
        "hitl.request.resolved",
        "hitl.run.completed",
    ]


async def test_after_the_last_try_it_goes_on_and_can_be_told_again(
    api: httpx.AsyncClient, database_url: str, told: tuple[Receiver, Json]
) -> None:
    receiver, run = told
    tries = len(PAUSES) + 1
    receiver.replies += [500] * tries
    await answer(api, run, freeformText="x")
    for number in range(1, tries + 1):
        await receiver.wait(number + 1, "tried")
        await let_time_pass(database_url)
    await receiver.wait(2)
    assert receiver.taken[-1]["type"] == "hitl.run.completed"
    async with connection_pool(database_url, max_size=1) as pool, connection(pool) as conn:
        (listed,) = await webhooks.list_all(conn)
        (dead,) = listed.dead_letters
        assert await webhooks.replay(conn, "one", dead)
        await receiver.wait(4)
        (listed,) = await webhooks.list_all(conn)
    assert [one["type"] for one in receiver.taken[2:]] == [
        "hitl.request.resolved",
        "hitl.run.completed",
    ]
    assert (listed.dead_letters, listed.waiting) == ([], 0)


async def test_who_is_gone_is_told_nothing_until_enabled(
    api: httpx.AsyncClient, database_url: str, told: tuple[Receiver, Json]
) -> None:
    receiver, run = told
    receiver.replies.append(410)
    await answer(api, run, freeformText="x")
    await receiver.wait(2, "tried")
    await let_time_pass(database_url)
    await asyncio.sleep(0.5)
    assert len(receiver.tried) == 2
    async with connection_pool(database_url, max_size=1) as pool, connection(pool) as conn:
        assert await webhooks.enable(conn, "one")
    await receiver.wait(3)


async def test_a_slow_receiver_keeps_nobody_waiting(
    api: httpx.AsyncClient, database_url: str, receiver: Receiver
) -> None:
    with receiving() as other:
        receiver.replies.append(503)
        await add(database_url, receiver)
        await add(database_url, other, name="two")
        await answer(api, await paused(api), freeformText="x")
        await other.wait(3)
    assert len(receiver.tried) == 1


async def test_an_address_that_is_none_stops_no_other(
    api: httpx.AsyncClient, database_url: str, receiver: Receiver
) -> None:
    nowhere = Receiver("http://ex\x01ample.com/hook")
    await add(database_url, nowhere, name="nowhere")
    await add(database_url, receiver, name="somewhere")
    await answer(api, await paused(api), freeformText="x")
    await receiver.wait(3)
    why = "SELECT last_error FROM webhook_endpoints WHERE attempts = 1"
    assert len(await execute(database_url, why)) == 1


async def test_a_prune_passes_no_cursor(
    api: httpx.AsyncClient, database_url: str, told: tuple[Receiver, Json]
) -> None:
    receiver, run = told
    receiver.replies.append(503)
    await answer(api, run, freeformText="x")
    await receiver.wait(2, "tried")
    async with connection_pool(database_url, max_size=2) as pool:
        assert await prune(pool, timedelta(0)) == 0
        await let_time_pass(database_url)
        await receiver.wait(3)
        assert await prune(pool, timedelta(0)) == 1


async def test_who_asks_is_called_back_with_the_answer(
    api: httpx.AsyncClient, database_url: str, receiver: Receiver
) -> None:
    body = {"payload": "Which way?", "callbackUrl": receiver.url, "callbackSecret": SECRET}
    asked = (await api.post("/api/hitl/requests", json=body)).json()
    response = {"requestId": asked["requestId"], "freeformText": "left"}
    said = {**{name: asked[name] for name in ("runId", "requestId")}, "responses": [response]}
    assert (await api.post("/api/hitl/resume", json=said)).status_code == 200
    (called,) = await receiver.wait(1)
    assert called["type"] == "hitl.request.resolved"
    told = {name: called["data"][name] for name in ("requestId", "status", "answer", "refusal")}
    assert told == {
        "requestId": asked["requestId"],
        "status": "resolved",
        "answer": "left",
        "refusal": None,
    }
    assert await execute(database_url, "SELECT count(*) FROM webhook_endpoints") == [0]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"callbackUrl": "https://example.com/x"}, "callbackSecret"),
        ({"callbackUrl": "https://example.com/x", "callbackSecret": "short"}, "base64"),
        ({"callbackUrl": "ftp://example.com/x", "callbackSecret": SECRET}, "must be"),
        ({"callbackUrl": "https://a:b@example.com", "callbackSecret": SECRET}, "password"),
    ],
)
async def test_a_callback_that_cannot_be_is_refused(
    api: httpx.AsyncClient, more: Json, words: str
) -> None:
    refused = await api.post("/api/hitl/requests", json={"payload": "?", **more})
    assert refused.status_code == 422
    assert words in refused.json()["detail"]
    assert (await api.get("/api/hitl/pending")).json()["runs"] == []


@pytest.mark.parametrize(
    "url",
    [
        *("http://example.com", "https://127.0.0.1/x", "https://[::1]/x", "https://10.1.2.3"),
        *(
            "https://169.254.169.254/latest",
            "https://192.168.0.1",
            "https://[fd00::1]",
            "https:///x",
        ),
        *("file:///etc/passwd", "https://user:word@example.com", "https://example.com:99999"),
        *("https://exa mple.com", "https://exa\nmple.com"),
    ],
)
def test_nothing_is_sent_in_the_clear_or_to_a_private_network(url: str) -> None:
    with pytest.raises(Invalid):
        check_address(url, may_be_private=False)


def test_a_name_that_leads_to_a_private_network_is_refused() -> None:
    check_host("example.com", ["93.184.215.14"])
    with pytest.raises(Invalid, match="private"):
        check_host("example.com", ["93.184.215.14", "127.0.0.1"])


async def test_a_private_address_is_tried_and_refused_where_it_is_not_allowed(
    database_url: str, receiver: Receiver
) -> None:
    async with started(database_url) as api:
        await add(database_url, receiver)
        await paused(api)
        error = None
        for _ in range(100):
            (error,) = await execute(database_url, "SELECT last_error FROM webhook_endpoints")
            if error:
                break
            await asyncio.sleep(0.1)
    assert "https" in str(error)
    assert receiver.tried == []


def test_events_are_named_by_their_beginnings() -> None:
    assert read_events(["run", "request.created"]) == ["hitl.run", "hitl.request.created"]
    assert [one for one in TYPES if matches(one, ["hitl.run"])] == [*TYPES[3:]]
    with pytest.raises(Invalid, match="no event"):
        read_events(["request.creat"])


async def test_the_command_line_adds_lists_and_removes(
    api: httpx.AsyncClient, database_url: str, receiver: Receiver
) -> None:
    def hitl(*arguments: str) -> tuple[int, str]:
        variables = {"PATH": os.environ["PATH"], "DATABASE_URL": database_url}
        variables |= {"HITL_WEBHOOKS_PRIVATE": "true"} if "private" in arguments else {}
        command = [HITL, "webhooks", *(one for one in arguments if one != "private")]
        done = subprocess.run(command, env=variables, cwd="/", capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    async def call(*arguments: str) -> tuple[int, str]:
        return await asyncio.to_thread(hitl, *arguments)

    assert await call("list") == (0, "There are no webhooks.\n")
    run = await paused(api)  # before: it is not told of that
    code, said = await call("add", receiver.url, "--events", "run", "private")
    name, secret = said.split()[:2]
    assert (code, secret.startswith("whsec_"), "not shown again" in said) == (0, True, True)
    assert (await call("add", receiver.url))[0] == 1
    assert (await call("add", "https://example.com", "--events", "nothing"))[0] == 1
    await answer(api, run, freeformText="x")
    code, listed = await call("list")
    assert (code, f"{name}: {receiver.url}; hitl.run" in listed, secret in listed) == (
        0,
        True,
        False,
    )
    for act in (("enable", name), ("replay", name, "--from", "1"), ("remove", name)):
        code, said = await call(*act)
        assert (code, said.startswith(name)) == (0, True)
        assert (await call(act[0], "nobody", *act[2:]))[0] == 1
