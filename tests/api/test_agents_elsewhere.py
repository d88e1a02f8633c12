"""Agents in processes of their own, by nothing but the protocol of docs/agents-elsewhere.md."""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from hitl_orchestrator.checkpoints import assignments
from hitl_orchestrator.checkpoints.pool import connection, connection_pool
from hitl_orchestrator.checkpoints.retention import drop_history
from tests.api.calls import Json, start, started
from tests.api.test_keys import add_key, signed_by

APPROVAL = {"question": "Send it?", "kind": "approval"}
RAW = "Which way?"


@dataclass
class AgentElsewhere:
    """An agent that does what the test does with its steps."""

    api: httpx.AsyncClient
    name: str = "far.clerk"
    home: str = field(default_factory=lambda: uuid4().hex)

    @property
    def path(self) -> str:
        return f"/api/agents/{self.name}"

    async def register(self, **more: Any) -> httpx.Response:
        described = {"displayName": "Clerk", "inputFacets": ["objective"], "outputFacets": ["mail"]}
        return await self.api.put(self.path, json={"home": self.home, **described, **more})

    async def poll(self, token: str | None = None, wait: float = 20) -> httpx.Response:
        body = {"home": self.home, "token": token or uuid4().hex}
        return await self.api.post(f"{self.path}/steps?wait={wait}", json=body)

    async def take(self) -> "Taken":
        token = uuid4().hex
        response = await self.poll(token)
        assert response.status_code == 200, response.text
        return Taken(self, token, response.json())


@dataclass
class Taken:
    agent: AgentElsewhere
    token: str
    step: Json

    async def call(self, name: str, **body: Any) -> int:
        path = f"{self.agent.path}/steps/{self.step['runId']}/{self.step['stepId']}/{name}"
        response = await self.agent.api.post(path, json={"token": self.token, **body})
        return response.status_code

    async def ask(self, *values: Any, schema: Json | None = None) -> None:
        questions = [
            {"key": f"q{number}", "value": value, "responseSchema": schema}
            for number, value in enumerate(values)
        ]
        assert await self.call("report", outcome="asking", questions=questions) == 204

    async def complete(self, mail: Any = "sent") -> None:
        assert await self.call("report", outcome="completed", output={"mail": mail}) == 204


@pytest.fixture
async def clerk(api: httpx.AsyncClient) -> AgentElsewhere:
    agent = AgentElsewhere(api)
    response = await agent.register()
    assert response.status_code == 200, response.text
    return agent


async def begin(api: httpx.AsyncClient, **more: Any) -> Json:
    return await start(api, {"objective": "Write", "outputs": ["mail"], **more}, wait=0)


async def rest(api: httpx.AsyncClient, run: Json) -> Json:
    return (await api.get(f"/api/runs/{run['runId']}?wait=20")).json()


async def decide(api: httpx.AsyncClient, run: Json, *decisions: Json) -> None:
    paused = await rest(api, run)
    waiting = [one["requestId"] for one in paused["requests"] if one["status"] == "pending"]
    responses = [
        {"requestId": request_id, **decision}
        for request_id, decision in zip(waiting, decisions, strict=True)
    ]
    body = {"runId": run["runId"], "requestId": waiting[0], "responses": responses}
    done = await api.post("/api/hitl/resume", json=body)
    assert done.status_code == 200, done.text


async def lose(database_url: str) -> None:
    """Let the time pass in which agents had to be heard of, and their leases."""
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as conn:
        await conn.execute("UPDATE hitl_agents SET alive_until = now() - interval '1 s'")
        await conn.execute("UPDATE hitl_assignments SET leased_until = now() - interval '1 s'")


async def list_agents(api: httpx.AsyncClient) -> list[tuple[str, bool]]:
    shown = (await api.get("/api/agents")).json()["agents"]
    return [(one["capabilityId"], one["isAlive"]) for one in shown]


async def wait_until_held(api: httpx.AsyncClient, run: Json, is_held: bool = True) -> Json:
    shown: Json = {}
    for _ in range(300):
        shown = (await api.get(f"/api/runs/{run['runId']}")).json()
        if bool(shown["held"]) is is_held:
            return shown
        await asyncio.sleep(0.1)
    raise AssertionError(f"held: {shown['held']}")


def read_log(log: Path) -> list[str]:
    return log.read_text().split()


async def test_an_agent_elsewhere_takes_its_step_asks_and_is_answered(
    api: httpx.AsyncClient, clerk: AgentElsewhere
) -> None:
    known = (await api.get("/api/capabilities")).json()["capabilities"]
    assert clerk.name in [one["capabilityId"] for one in known]
    run = await begin(api, metadata={"ticket": "T-1"})
    first = await clerk.take()
    task = first.step["task"]
    assert (task["objective"], task["metadata"]) == ("Write", {"ticket": "T-1"})
    assert (first.step["number"], first.step["answers"], first.step["isBegun"]) == (1, None, False)
    await first.ask(APPROVAL)
    await decide(api, run, {"approved": True})
    second = await clerk.take()
    answer = second.step["answers"]["q0"]["value"]
    assert (answer["status"], answer["approved"]) == ("answered", True)
    assert (second.step["number"], second.step["isBegun"]) == (2, True)
    assert second.step["threadId"] == first.step["threadId"]
    await second.complete({"id": 7})
    ended = await rest(api, run)
    assert (ended["status"], ended["facets"]["mail"]["value"]) == ("completed", {"id": 7})


@pytest.mark.parametrize(
    ("value", "can_refuse", "told", "status"),
    [
        (APPROVAL, False, {"value": {"approved": False, "reason": "No"}}, None),
        (RAW, False, None, "denied"),
        (RAW, True, {"refused": "No"}, None),
        (APPROVAL, True, {"refused": "No"}, None),
    ],
)
async def test_a_refusal_is_told_as_one_or_the_step_ends_without_the_agent(
    api: httpx.AsyncClient, value: Any, can_refuse: bool, told: Json | None, status: str | None
) -> None:
    clerk = AgentElsewhere(api)
    await clerk.register(canRefuse=can_refuse)
    run = await begin(api)
    await (await clerk.take()).ask(value)
    paused = await rest(api, run)
    body = {"runId": run["runId"], "requestId": paused["pendingRequestId"], "reason": "No"}
    assert (await api.post("/api/hitl/deny", json=body)).status_code == 200
    if told is None:
        ended = await rest(api, run)
        assert [step["status"] for step in ended["plan"]["steps"]] == [status]
        assert (await clerk.poll(wait=0)).status_code == 204
        return
    answer = (await clerk.take()).step["answers"]["q0"]
    if "refused" in told:
        assert answer == told
    else:
        assert answer["value"]["status"] == "denied"
        assert answer["value"].items() >= told["value"].items()


async def test_several_questions_come_back_together(
    api: httpx.AsyncClient, clerk: AgentElsewhere
) -> None:
    run = await begin(api)
    await (await clerk.take()).ask(RAW, {"message": "Which?", "options": ["a", "b"]})
    paused = await rest(api, run)
    one = paused["requests"][0]["requestId"]
    answer = {"requestId": one, "freeformText": "left"}
    body = {"runId": run["runId"], "requestId": one, "responses": [answer]}
    assert (await api.post("/api/hitl/resume", json=body)).status_code == 200
    assert (await clerk.poll(wait=0.5)).status_code == 204  # the other one is not answered
    await decide(api, run, {"selectedOptionId": "b"})
    answers = (await clerk.take()).step["answers"]
    assert answers == {"q0": {"value": "left"}, "q1": {"value": "b"}}


async def test_a_start_that_waits_is_handed_out_at_once(
    api: httpx.AsyncClient, clerk: AgentElsewhere
) -> None:
    starting = asyncio.ensure_future(start(api, {"objective": "Write", "outputs": ["mail"]}))
    await (await clerk.take()).complete()
    run = await starting
    assert (run["status"], run["facets"]["mail"]["value"]) == ("completed", "sent")
    assert [entry["action"] for entry in run["metadata"]["auditLog"]] == ["start", "complete"]


async def test_every_call_may_be_repeated(api: httpx.AsyncClient, clerk: AgentElsewhere) -> None:
    run = await begin(api)
    first = await clerk.take()
    again = await clerk.poll(first.token)
    assert again.json() == {**first.step, "isBegun": True}
    assert (await clerk.poll(wait=0)).status_code == 204  # it is another token's
    questions = [{"key": "q0", "value": APPROVAL}]
    for _ in range(2):
        assert await first.call("report", outcome="asking", questions=questions) == 204
    await decide(api, run, {"approved": True})
    second = await clerk.take()
    assert await first.call("report", outcome="asking", questions=questions) == 409
    assert await first.call("keep") == 409
    await second.complete()
    assert (await rest(api, run))["status"] == "completed"
    await second.complete()  # its run has ended by that


async def test_who_comes_back_takes_again_what_its_process_had(
    api: httpx.AsyncClient, clerk: AgentElsewhere
) -> None:
    run = await begin(api)
    first = await clerk.take()
    await clerk.register()
    second = await clerk.take()
    assert second.step == {**first.step, "isBegun": True}
    assert await first.call("report", outcome="completed", output={"mail": "twice"}) == 409
    await second.complete("once")
    assert (await rest(api, run))["facets"]["mail"]["value"] == "once"


async def test_a_step_that_was_begun_waits_for_its_home(
    api: httpx.AsyncClient, clerk: AgentElsewhere, database_url: str
) -> None:
    await begin(api)
    first = await clerk.take()
    await lose(database_url)
    other = AgentElsewhere(api, clerk.name)
    assert (await other.poll(wait=0.5)).status_code == 204
    again = await clerk.take()
    assert again.step["stepId"] == first.step["stepId"]


async def test_an_agent_that_is_away_holds_its_steps_and_no_decision(
    api: httpx.AsyncClient, clerk: AgentElsewhere, database_url: str
) -> None:
    run = await begin(api)
    await (await clerk.take()).ask(APPROVAL)
    await rest(api, run)
    assert await list_agents(api) == [(clerk.name, True)]
    await lose(database_url)
    assert await list_agents(api) == [(clerk.name, False)]
    await decide(api, run, {"approved": True})  # what people decide is taken
    held = await wait_until_held(api, run)
    assert held["status"] == "running"
    assert held["held"]["capabilityId"] == clerk.name
    assert "is away" in held["held"]["reason"]
    await clerk.register()
    await wait_until_held(api, run, is_held=False)
    back = await clerk.take()
    assert back.step["answers"]["q0"]["value"]["approved"] is True
    await back.complete()
    assert (await rest(api, run))["status"] == "completed"


def write_slow(log: Path, name: str) -> str:
    """Write an agent that takes two seconds, and return its entry."""
    code = log.with_name(f"{name}.py")
    code.write_text(
        "import asyncio, pathlib\n"
        "async def run(task):\n"
        f"    log = pathlib.Path({str(log)!r})\n"
        "    with log.open('a') as out: out.write('begun\\n')\n"
        "    await asyncio.sleep(2)\n"
        "    with log.open('a') as out: out.write('done\\n')\n"
        "    return {'slow': 1}\n"
        "agent = {'capabilityId': 'slow', 'displayName': 'Slow', 'outputFacets': ['slow'],"
        " 'run': run}\n"
    )
    return f"{code}:agent"


async def test_what_works_beside_an_agent_that_is_away_is_not_broken_off(
    database_url: str, log: Path
) -> None:
    async with started(database_url, agents=(write_slow(log, "beside_who_is_away"),)) as api:
        clerk = AgentElsewhere(api)
        await clerk.register()
        await lose(database_url)
        run = await begin(api, outputs=["mail", "slow"])
        held = await wait_until_held(api, run)
        assert read_log(log) == ["begun", "done"]
        assert held["facets"]["slow"]["value"] == 1
        await clerk.register()
        await (await clerk.take()).complete()
        assert (await rest(api, run))["status"] == "completed"
        assert read_log(log) == ["begun", "done"]


async def test_what_takes_too_long_is_taken_from_the_agent_while_others_work(
    database_url: str, log: Path
) -> None:
    async with started(database_url, agents=(write_slow(log, "beside_who_is_late"),)) as api:
        clerk = AgentElsewhere(api)
        await clerk.register(timeoutSeconds=0.5)
        run = await begin(api, outputs=["mail", "slow"])
        taken = await clerk.take()
        assert await taken.call("keep") == 204
        await asyncio.sleep(1)
        assert await taken.call("keep") == 409
        assert (await api.get(f"/api/runs/{run['runId']}")).json()["status"] == "running"
        assert (await rest(api, run))["status"] == "failed"


async def test_a_late_driver_hands_nothing_out_again(
    api: httpx.AsyncClient, clerk: AgentElsewhere, database_url: str
) -> None:
    run = await begin(api)
    taken = await clerk.take()
    async with connection_pool(database_url, max_size=1) as pool, connection(pool) as conn:
        handed = await assignments.find(conn, run["runId"], taken.step["stepId"])
        assert handed is not None
        await assignments.assign(conn, handed)  # the same once more
        await assignments.assign(conn, handed.again())  # before it has reported
    assert await taken.call("keep") == 204
    await taken.complete()
    assert (await rest(api, run))["status"] == "completed"


async def test_a_cancelled_run_takes_its_step_from_the_agent(
    api: httpx.AsyncClient, clerk: AgentElsewhere
) -> None:
    run = await begin(api)
    taken = await clerk.take()
    assert await taken.call("keep", progress=["page 1", {"text": "page 2"}]) == 204
    stopped = await api.post(f"/api/runs/{run['runId']}/cancel", json={"reason": "enough"})
    assert stopped.status_code == 200
    assert await taken.call("keep") == 409
    assert await taken.call("report", outcome="completed", output={"mail": 1}) == 409


async def test_what_takes_too_long_fails_and_is_taken_from_the_agent(
    api: httpx.AsyncClient,
) -> None:
    clerk = AgentElsewhere(api)
    await clerk.register(timeoutSeconds=1)
    run = await begin(api)
    await asyncio.sleep(1.5)  # nobody works on it: its time does not run
    taken = await clerk.take()
    ended = await rest(api, run)
    assert ended["status"] == "failed"
    assert "longer than its 1 seconds" in ended["plan"]["steps"][0]["reason"]
    assert await taken.call("keep") == 409


@pytest.mark.parametrize(("is_final", "tries"), [(False, 3), (True, 1)])
async def test_what_failed_by_an_error_is_tried_again(
    api: httpx.AsyncClient, is_final: bool, tries: int
) -> None:
    clerk = AgentElsewhere(api)
    await clerk.register(retries={"attempts": 2, "seconds": 0})
    run = await begin(api)
    for number in range(1, tries + 1):
        taken = await clerk.take()
        assert taken.step["number"] == number
        failed = {"outcome": "failed", "reason": "KeyError: 'to'", "isFinal": is_final}
        assert await taken.call("report", **failed) == 204
    ended = await rest(api, run)
    assert (ended["status"], ended["plan"]["steps"][0]["reason"]) == ("failed", "KeyError: 'to'")
    retried = await api.post(f"/api/runs/{run['runId']}/retry", json={})
    assert retried.status_code == 202
    await (await clerk.take()).complete()
    assert (await rest(api, run))["status"] == "completed"


async def test_what_it_tells_of_its_work_is_heard(
    api: httpx.AsyncClient, clerk: AgentElsewhere
) -> None:
    run = await begin(api)
    taken = await clerk.take()
    assert await taken.call("keep", progress=["page 1 of 2"]) == 204
    await asyncio.sleep(0.5)
    await taken.complete()
    assert (await rest(api, run))["status"] == "completed"
    frames = (await api.get(f"/api/runs/{run['runId']}/events")).text
    assert frames.count('"progress": "page 1 of 2"') == 1


async def test_output_is_held_to_its_schema(api: httpx.AsyncClient) -> None:
    clerk = AgentElsewhere(api)
    await clerk.register(facets={"mail": {"type": "object"}})
    run = await begin(api)
    await (await clerk.take()).complete("no object")
    ended = await rest(api, run)
    assert ended["status"] == "failed"
    assert "mail" in ended["plan"]["steps"][0]["reason"]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"facets": {"mail": {"type": "nothing"}}}, "not a JSON Schema"),
        ({"outputFacets": ["mail", "mail"]}, "named twice"),
        ({"home": "a/b"}, "home"),
        ({"run": "x"}, "run"),
    ],
)
async def test_what_cannot_be_planned_with_is_not_registered(
    api: httpx.AsyncClient, more: Json, words: str
) -> None:
    refused = await AgentElsewhere(api).register(**more)
    assert refused.status_code == 422
    assert words in refused.text
    assert (await AgentElsewhere(api).poll(wait=0)).status_code == 404


async def test_ids_of_others_are_refused(
    api: httpx.AsyncClient, clerk: AgentElsewhere, database_url: str
) -> None:
    assert (await AgentElsewhere(api, "asks").register()).status_code == 409
    assert (await AgentElsewhere(api, "planner").register()).status_code == 422
    key = await add_key(database_url, "other", "work")
    async with signed_by(api, key) as other:
        stranger = AgentElsewhere(other, clerk.name)
        assert (await stranger.register()).status_code == 409
        assert (await stranger.poll(wait=0)).status_code == 404
        assert (await other.delete(clerk.path)).status_code == 404
        assert (await other.post("/api/runs", json={"objective": "x"})).status_code == 403
    assert (await api.delete(clerk.path)).status_code == 204
    assert (await clerk.poll(wait=0)).status_code == 404
    refused = await api.post("/api/runs", json={"objective": "x", "outputs": ["mail"]})
    assert refused.status_code == 422


@pytest.mark.parametrize(
    "report",
    [
        {"outcome": "asking"},
        {"outcome": "asking", "questions": [{"key": "a", "value": 1}, {"key": "a", "value": 2}]},
        {"outcome": "done"},
        {"outcome": "completed", "answer": 1},
    ],
)
async def test_a_report_that_says_nothing_is_refused(
    api: httpx.AsyncClient, clerk: AgentElsewhere, report: Json
) -> None:
    await begin(api)
    taken = await clerk.take()
    assert await taken.call("report", **report) == 422
    await taken.complete()


async def test_what_it_was_handed_goes_with_the_history_of_its_run(
    api: httpx.AsyncClient, clerk: AgentElsewhere, database_url: str
) -> None:
    run = await begin(api)
    await (await clerk.take()).complete()
    await rest(api, run)
    async with connection_pool(database_url, max_size=2) as pool, connection(pool) as conn:
        assert await assignments.find(conn, run["runId"], "s1")
        await drop_history(pool, timedelta(0))
        assert await assignments.find(conn, run["runId"], "s1") is None


async def test_two_servers_know_the_same_agents(database_url: str) -> None:
    async with started(database_url) as one, started(database_url) as other:
        clerk = AgentElsewhere(one)
        await clerk.register()
        await asyncio.sleep(0.5)
        run = await begin(other)
        taken = await AgentElsewhere(other, clerk.name, clerk.home).take()
        await Taken(clerk, taken.token, taken.step).complete()
        assert (await rest(one, run))["status"] == "completed"
