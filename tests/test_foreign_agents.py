"""Agents as strangers write them, unchanged, each driven to its end through the server, its
questions answered in any order.
"""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.agents.counting import log_lines
from tests.processes import AGENTS, API_KEY
from tests.test_first_run import waiting

FILES = (
    "tool_agent.py:agent",
    "tool_agent.py:per_call",
    "inbox.py:agent",
    "parallel.py:agent",
    "two_questions.py:agent",
    "subgraph.py:agent",
    "workflow.py:agent",
    "raises.py:agent",
    "nonsense.py:choice",
)
LIMIT = 10


@pytest.fixture
async def api(database_url: str, tmp_path: Path) -> Any:
    from hitl_orchestrator.server.app import create_app
    from hitl_orchestrator.server.settings import Settings

    agents = tuple(str(AGENTS / name) for name in FILES)
    app = create_app(
        Settings.model_validate(
            {
                "database_url": database_url,
                "api_key": API_KEY,
                "agents": agents,
                "outbox_dir": tmp_path,
            }
        )
    )
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test", timeout=60) as client,
    ):
        client.headers["Authorization"] = f"Bearer {API_KEY}"
        yield client


async def start(api: httpx.AsyncClient, agent: str, output: str, **inputs: str) -> dict[str, Any]:
    body = {
        "objective": "Do it",
        "agents": [agent],
        "outputs": [output],
        "inputs": inputs,
        "maxHitlRequests": LIMIT,
    }
    response = await api.post("/api/runs?wait=30", json=body)
    assert response.status_code == 202, response.text
    return response.json()


async def answer(
    api: httpx.AsyncClient, run: dict[str, Any], request: dict[str, Any], **given: Any
) -> dict[str, Any]:
    body = {
        "runId": run["runId"],
        "requestId": request["requestId"],
        "responses": [{"requestId": request["requestId"], **given}],
    }
    response = await api.post("/api/hitl/resume?wait=30", json=body)
    assert response.status_code == 200, response.text
    return response.json()["run"]


def fitting(request: dict[str, Any]) -> dict[str, Any]:
    """An answer that fits, told apart by its question."""
    match request["kind"]:
        case "approval":
            return {"approved": True}
        case "choice":
            return {"selectedOptionId": request["options"][0]["id"]}
        case "form":
            properties = request["responseSchema"]["properties"]
            return {
                "data": {
                    name: {"boolean": True, "integer": 1, "number": 1}.get(of.get("type"), "x")
                    for name, of in properties.items()
                }
            }
        case _:
            return {"freeformText": f"re: {request['question']}"}


@pytest.mark.parametrize("mode", ["batched", "per_call"])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_of_two_tool_calls_one_is_approved_and_the_other_edited(
    api: httpx.AsyncClient, tmp_path: Path, mode: str, order: tuple[int, int]
) -> None:
    run = await start(api, f"clerk.{mode}", "minutes", log=str(tmp_path / "log"))
    given = {
        "send_mail": {"approved": True},
        "delete_file": {"approved": True, "editedArguments": {"path": "older.txt"}},
    }
    asked = [request for request in run["requests"] if request["status"] == "pending"]
    for position in order:
        run = await answer(api, run, asked[position], **given[asked[position]["action"]["name"]])
    assert run["status"] == "completed", run["error"]
    assert sorted(log_lines(tmp_path / "log")) == [
        "delete older.txt",
        "mail ann@example.org: Hello",
    ], "each tool ran once, as decided"


async def test_a_rejected_tool_call_is_not_made(api: httpx.AsyncClient, tmp_path: Path) -> None:
    run = await start(api, "clerk.batched", "minutes", log=str(tmp_path / "log"))
    mail, delete = run["requests"]
    run = await answer(api, run, mail, approved=False, freeformText="not now")
    run = await answer(api, run, delete, approved=True)
    assert (run["status"], run["deniedCount"], log_lines(tmp_path / "log")) == (
        "completed",
        0,
        ["delete old.txt"],
    )


@pytest.mark.parametrize(
    ("agent", "output"),
    [
        ("surveys.three", "survey"),
        ("letters.writer", "letter"),
        ("plans.judge", "verdict"),
        ("mail.answerer", "reply"),
        ("workflows.two", "steps"),
    ],
)
@pytest.mark.parametrize("last_first", [False, True])
async def test_every_question_of_a_foreign_graph_gets_its_own_answer(
    api: httpx.AsyncClient, agent: str, output: str, last_first: bool
) -> None:
    run = await start(api, agent, output)
    while run["status"] == "awaiting_hitl":
        pending = [request for request in run["requests"] if request["status"] == "pending"]
        run = await answer(
            api, run, pending[-1 if last_first else 0], **fitting(pending[-1 if last_first else 0])
        )
    assert run["status"] == "completed", run["error"]
    made = json.dumps(run["result"]["outputs"], ensure_ascii=False)
    texts = [request["question"] for request in run["requests"] if request["kind"] == "freeform"]
    assert all(f"re: {text}" in made or output != "survey" for text in texts), made


async def test_an_agent_that_fails_fails_its_run_alone(api: httpx.AsyncClient) -> None:
    other = await start(api, "letters.writer", "letter")
    capabilities = (await api.get("/api/capabilities")).json()["capabilities"]
    for name in ("raises", "nonsense"):
        found = next(c for c in capabilities if c["capabilityId"].startswith(name))
        run = await start(api, found["capabilityId"], found["outputFacets"][0])
        assert (run["status"], run["requests"], run["error"]["stepId"]) == ("failed", [], "s1"), (
            run["error"]
        )
    assert waiting((await api.get(f"/api/runs/{other['runId']}")).json())["status"] == "pending"
