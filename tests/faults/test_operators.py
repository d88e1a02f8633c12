"""Several people at once, at two servers: exactly one is first, and everybody learns what came of
it.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx
import pytest
from psycopg import AsyncConnection

from tests.agents.counting import log_lines
from tests.faults.crowd import AGENTS
from tests.faults.forked import serving
from tests.processes import API_KEY

Json = dict[str, Any]


class Desk:
    """Clients at two servers in turn."""

    def __init__(self, clients: list[httpx.AsyncClient]) -> None:
        self.clients = clients

    async def paused(self, *outputs: str) -> Json:
        run = (
            await self.clients[0].post(
                "/api/runs?wait=20", json={"objective": "Count", "outputs": [*outputs]}
            )
        ).json()
        assert run["status"] == "awaiting_hitl", run
        return run

    async def post_all(self, path: str, bodies: list[Json], **headers: str) -> list[httpx.Response]:
        """At once, to one server and the other in turn."""
        calls = [
            self.clients[n % 2].post(path, json=body, headers=headers)
            for n, body in enumerate(bodies)
        ]
        return await asyncio.gather(*calls)

    async def at_rest(self, run: Json) -> Json:
        return (await self.clients[1].get(f"/api/runs/{run['runId']}?wait=20")).json()


@pytest.fixture
async def desk(database_url: str, log: Path) -> AsyncGenerator[Desk]:
    headers = {"Authorization": f"Bearer {API_KEY}"}
    with (
        serving(database_url, *AGENTS, HITL_TEST_LOG=str(log)) as one,
        serving(database_url, *AGENTS, HITL_TEST_LOG=str(log)) as other,
    ):
        async with (
            httpx.AsyncClient(base_url=one.url, headers=headers, timeout=60) as first,
            httpx.AsyncClient(base_url=other.url, headers=headers, timeout=60) as second,
        ):
            yield Desk([first, second])


def answer(run: Json, *requests: Json, text: str, operator: str = "tester") -> Json:
    responses = [{"requestId": request["requestId"], "freeformText": text} for request in requests]
    return {
        "runId": run["runId"],
        "requestId": requests[0]["requestId"],
        "responses": responses,
        "operator": {"id": operator},
    }


def actions(run: Json) -> Counter[str]:
    return Counter(entry["action"] for entry in run["metadata"]["auditLog"])


async def test_of_fifty_answers_to_one_question_one_counts_and_the_others_are_told_whose(
    desk: Desk, log: Path
) -> None:
    run = await desk.paused("left")
    bodies = [
        answer(run, *run["requests"], text=f"a{n}", operator=f"operator-{n}") for n in range(50)
    ]
    responses = await desk.post_all("/api/hitl/resume", bodies)
    assert Counter(response.status_code for response in responses) == {200: 1, 409: 49}
    first = next(n for n, response in enumerate(responses) if response.status_code == 200)
    refusals = [response.json() for response in responses if response.status_code == 409]
    assert {(refusal["requestStatus"], refusal["resolvedBy"]["id"]) for refusal in refusals} == {
        ("resolved", f"operator-{first}")
    }
    assert len({refusal["resolvedAt"] for refusal in refusals}) == 1
    ended = await desk.at_rest(run)
    assert (ended["status"], ended["result"]["outputs"]) == ("completed", {"left": f"a{first}"})
    assert [line.split()[-1] for line in log_lines(log) if "applied" in line] == [f"a{first}"]


async def test_of_an_answer_and_a_removal_exactly_one_wins(desk: Desk, log: Path) -> None:
    answered = 0
    for n in range(10):
        run = await desk.paused("left")
        removal = {
            "runId": run["runId"],
            "requestId": run["pendingRequestId"],
            "reason": "Not now",
            "operator": {"id": "remover"},
        }
        calls = {
            "resume": answer(run, *run["requests"], text="yes", operator="answerer"),
            "remove": removal,
        }
        first, second = [*calls] if n % 2 else [*calls][::-1]
        responses = await asyncio.gather(
            *(
                client.post(f"/api/hitl/{name}", json=calls[name])
                for client, name in zip(desk.clients, (first, second), strict=True)
            )
        )
        came_of = dict(zip((first, second), responses, strict=True))
        ended = await desk.at_rest(run)
        found = (
            ended["status"],
            ended["requests"][0]["status"],
            ended["requests"][0]["denialReason"],
            ended["result"],
        )
        if came_of["resume"].status_code == 200:
            answered += 1
            assert (
                came_of["remove"].status_code,
                came_of["remove"].json()["resolvedBy"]["id"],
            ) == (409, "answerer")
            assert found == (
                "completed",
                "resolved",
                None,
                {"outputs": {"left": "yes"}, "notDone": []},
            )
            assert actions(ended) == {
                "start": 1,
                "request": 1,
                "resume": 1,
                "deliver": 1,
                "complete": 1,
            }
        else:
            assert came_of["remove"].status_code == 200
            assert (
                came_of["resume"].status_code,
                came_of["resume"].json()["resolvedBy"]["id"],
            ) == (409, "remover")
            assert found == ("cancelled", "denied", "Not now", None)
            assert actions(ended) == {"start": 1, "request": 1, "remove": 1, "cancel": 1}
    assert sum("applied" in line for line in log_lines(log)) == answered


async def test_one_key_from_ten_clients_has_one_effect_and_ten_equal_answers(
    desk: Desk, database_url: str
) -> None:
    run = await desk.paused("left")
    responses = await desk.post_all(
        "/api/hitl/resume",
        [answer(run, *run["requests"], text="yes")] * 10,
        **{"Idempotency-Key": "once"},
    )
    assert [response.status_code for response in responses] == [200] * 10
    assert [response.json() for response in responses] == [responses[0].json()] * 10
    assert Counter(response.headers.get("Idempotency-Replayed") for response in responses) == {
        None: 1,
        "true": 9,
    }
    assert (await desk.at_rest(run))["status"] == "completed"
    async with await AsyncConnection.connect(database_url) as conn:
        assert await (await conn.execute("SELECT count(*) FROM hitl_responses")).fetchone() == (1,)


async def test_two_questions_of_one_run_answered_at_once_are_both_answered(desk: Desk) -> None:
    for _ in range(5):
        run = await desk.paused("left", "right")
        left, right = sorted(run["requests"], key=lambda request: request["originAgent"])
        bodies = [
            answer(run, left, text="l", operator="lefty"),
            answer(run, right, text="r", operator="righty"),
        ]
        responses = await desk.post_all("/api/hitl/resume", bodies)
        assert [response.status_code for response in responses] == [200, 200]
        ended = await desk.at_rest(run)
        assert (ended["status"], ended["result"]["outputs"]) == (
            "completed",
            {"left": "l", "right": "r"},
        )
        assert actions(ended) == {
            "start": 1,
            "request": 2,
            "resume": 2,
            "deliver": 2,
            "complete": 1,
        }


async def test_calls_with_several_answers_that_overlap_are_taken_whole_or_not_at_all(
    desk: Desk,
) -> None:
    run = await desk.paused("left", "right")
    left, right = run["requests"]
    bodies = [
        *(answer(run, left, right, text=f"both {n}") for n in range(4)),
        answer(run, left, text="l"),
        answer(run, right, text="r"),
    ]
    responses = await desk.post_all("/api/hitl/resume", bodies)
    taken = [
        one
        for body, response in zip(bodies, responses, strict=True)
        if response.status_code == 200
        for one in body["responses"]
    ]
    assert sorted(one["requestId"] for one in taken) == sorted(
        [left["requestId"], right["requestId"]]
    )
    ended = await desk.at_rest(run)
    assert {one["requestId"]: one["freeformText"] for one in ended["responses"]} == {
        one["requestId"]: one["freeformText"] for one in taken
    }
