"""The real app on a real database, with an agent that asks whatever it is told to."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from hitl_orchestrator.server.app import create_app
from hitl_orchestrator.server.settings import Settings
from tests.processes import AGENTS, API_KEY

Json = dict[str, Any]

QUESTIONS: dict[str, Any] = {
    "freeform": {"question": "What now?", "kind": "freeform"},
    "approval": {
        "question": "Send it?",
        "kind": "approval",
        "action": {"name": "send", "arguments": {"to": "all"}},
    },
    "choice": {
        "question": "Which?",
        "kind": "choice",
        "options": [{"id": "a", "label": "A"}, {"id": "b", "label": "B"}],
    },
    "form": {
        "question": "How many?",
        "kind": "form",
        "responseSchema": {
            "type": "object",
            "required": ["n"],
            "properties": {"n": {"type": "integer"}},
        },
    },
}
OPERATOR = {"id": "operator-7", "displayName": "Ada", "email": "ada@example.com"}


@asynccontextmanager
async def started(
    database_url: str, address: str = "127.0.0.1", **settings: Any
) -> AsyncGenerator[httpx.AsyncClient]:
    agents = tuple(str(AGENTS / name) for name in ("asks.py:agent", "parallel.py:agent"))
    app = create_app(
        Settings.model_validate(
            {"database_url": database_url, "api_key": API_KEY, "agents": agents, **settings}
        )
    )
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(address, 1))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
    ):
        client.headers["Authorization"] = f"Bearer {API_KEY}"
        yield client


async def paused(
    api: httpx.AsyncClient, question: Any = QUESTIONS["freeform"], **body: Any
) -> Json:
    asking = {"objective": "Ask", "inputs": {"question": question}, "outputs": ["answer"]}
    run = await start(api, {**asking, **body})
    assert run["status"] == "awaiting_hitl", run
    return run


def wanting(log: Path, output: str, *agents: str, **body: Any) -> Json:
    """Describe a run of agents that note in a log what they do."""
    by_agents = {"inputs": {"log": str(log)}, "outputs": [output], "agents": [*agents]}
    return {"objective": "Work", **by_agents, **body}


async def start(api: httpx.AsyncClient, body: Json, wait: int = 20) -> Json:
    response = await api.post(f"/api/runs?wait={wait}", json=body)
    assert response.status_code == 202, response.text
    return response.json()


async def answer(api: httpx.AsyncClient, run: Json, wait: int = 20, **response: Any) -> Json:
    """Return the run, once it has paused or ended again."""
    body = answering(run, **response)
    answered = await api.post(f"/api/hitl/resume?wait={wait}", json=body)
    assert answered.status_code == 200, answered.text
    return answered.json()["run"]


def answering(run: Json, **response: Any) -> Json:
    request_id = run["pendingRequestId"]
    return {
        "runId": run["runId"],
        "requestId": request_id,
        "responses": [{"requestId": request_id, **response}],
    }


def is_problem(response: httpx.Response, status: int) -> Json:
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/problem+json"
    problem: Json = response.json()
    assert {"type", "title", "status", "detail"} <= problem.keys()
    assert problem["status"] == status
    assert not [
        word for word in ("Traceback", "psycopg", "SELECT", API_KEY, ".py") if word in response.text
    ]
    return problem


def frames_of(stream: str) -> list[Json]:
    """The frames of a finished stream; each event's id is its frame's seq."""
    found: list[Json] = []
    for event in stream.split("\n\n"):
        fields = dict(
            line.split(": ", 1) for line in event.splitlines() if not line.startswith(":")
        )
        if fields:
            frame = json.loads(fields["data"])
            assert fields == {"id": str(frame["seq"]), "data": fields["data"]}
            found.append(frame)
    return found
