"""A server that is killed while ten notices are outstanding, and a receiver that is away."""

import time

import httpx
import psycopg

from tests.api.test_webhooks import Receiver, add, receiving
from tests.processes import serving

OUTSTANDING = 10


async def test_what_is_outstanding_is_told_by_the_next_server(database_url: str) -> None:
    private = {"HITL_WEBHOOKS_PRIVATE": "true"}
    with receiving() as receiver:
        with serving(database_url, "asks.py:agent", **private) as server, server.client() as api:
            receiver.replies += [503]  # it is away
            await add(database_url, receiver)
            for _ in range(OUTSTANDING):
                ask(api)
            await receiver.wait(1, "tried")
            server.kill()
        assert receiver.taken == []
        with psycopg.connect(database_url, autocommit=True) as conn:  # an hour later
            conn.execute("UPDATE webhook_endpoints SET next_try_at = now(), leased_until = NULL")
        with serving(database_url, "asks.py:agent", **private):
            told = await receiver.wait(OUTSTANDING)
    numbers = [one["data"]["seq"] for one in told]
    assert numbers == sorted({*numbers})
    assert {one["type"] for one in told} == {"hitl.request.created"}


async def test_a_server_killed_while_it_tells_has_told_at_least_once(database_url: str) -> None:
    private = {"HITL_WEBHOOKS_PRIVATE": "true"}
    with receiving() as receiver:
        with serving(database_url, "asks.py:agent", **private) as server, server.client() as api:
            await add(database_url, receiver)
            for _ in range(OUTSTANDING):
                ask(api)
            await receiver.wait(OUTSTANDING // 2)
            server.kill()
        with psycopg.connect(database_url, autocommit=True) as conn:
            conn.execute("UPDATE webhook_endpoints SET leased_until = NULL")
        with serving(database_url, "asks.py:agent", **private):
            until = time.monotonic() + 20
            while len(list_numbers(receiver)) < OUTSTANDING and time.monotonic() < until:
                await receiver.wait(1)
    numbers = [one["data"]["seq"] for one in receiver.taken]
    assert list_numbers(receiver) == sorted(list_numbers(receiver))
    assert len({*numbers}) == OUTSTANDING
    assert len(numbers) - OUTSTANDING <= 1  # the one that was being told


def list_numbers(receiver: Receiver) -> list[int]:
    """Return those that were told, each once, in the order in which they came first."""
    return list(dict.fromkeys(one["data"]["seq"] for one in receiver.taken))


def ask(api: httpx.Client) -> None:
    question = {"question": "What now?", "kind": "freeform"}
    body = {"objective": "Ask", "inputs": {"question": question}, "outputs": ["answer"]}
    assert api.post("/api/runs?wait=20", json=body).status_code == 202
