"""A2A's own client for JavaScript, `@a2a-js/sdk`, starts tasks and answers what they ask."""

from collections.abc import Generator
from typing import Any

import pytest

from tests.api.calls import QUESTIONS, Json
from tests.clients.conftest import Served
from tests.clients.npm import Program, program

CLIENT = "@a2a-js/sdk@1.3.0"


@pytest.fixture(scope="module")
def javascript() -> Generator[Program]:
    with program("a2a.mjs", CLIENT) as running:
        yield running


def asking(question: Any) -> list[Json]:
    """Say, by a message's parts, that it is to be asked."""
    return [{"text": "Ask"}, {"data": {"inputs": {"question": question}, "outputs": ["answer"]}}]


def requests_of(status: Json) -> list[Json]:
    assert status["state"] == "TASK_STATE_INPUT_REQUIRED", status
    return status["message"]["parts"][-1]["data"]["requests"]


@pytest.mark.parametrize("binding", ["JSONRPC", "HTTP+JSON"])
async def test_a_task_is_started_streamed_and_answered_and_a_stale_answer_decides_nothing(
    javascript: Program, served: Served, binding: str
) -> None:
    url, key = served.server.url, served.keys["ada"]
    javascript.ask(what="connect", url=url, key=key, binding=binding)
    told = javascript.ask(what="stream", parts=asking(QUESTIONS["approval"]))["value"]
    task, (request,) = told[0]["task"]["id"], requests_of(told[-1]["statusUpdate"]["status"])
    assert request["action"]["arguments"] == {"to": "all"}

    approve = {"data": {"requestId": request["requestId"], "answer": {"approved": True}}}
    done = javascript.ask(what="send", parts=[approve], task=task)["value"]
    assert done["status"]["state"] == "TASK_STATE_COMPLETED"
    (answer,) = (one["parts"][0]["data"] for one in done["artifacts"] if one["name"] == "answer")
    assert (answer["approved"], answer["responder"]["id"]) == (True, "ada")

    reject = {"data": {"requestId": request["requestId"], "reject": "No"}}
    for what in ("send", "stream"):
        refused = javascript.ask(what=what, parts=[reject], task=task)
        assert refused["error"] == "UnsupportedOperationError", refused
        assert "ada decided it" in refused["message"]
    kept = (await served.api.get(f"/api/runs/{task}")).json()
    assert [one["approved"] for one in kept["responses"]] == [True]
