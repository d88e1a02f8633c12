"""87 payloads like those in the wild, through the API: each shown whole, each answered raw."""

from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest

from tests.api.calls import Json, answering, paused, started
from tests.consent.wild import CHOSEN, WILD, Wild


@pytest.fixture
async def api(database_url: str) -> AsyncGenerator[httpx.AsyncClient]:
    async with started(database_url) as client:
        yield client


def say(request: Json, wanted: Any) -> Json:
    """Return the response that a person would send who wants the agent to get this."""
    if request["options"] and wanted is not True:
        values = request["payload"].get("options") or request["payload"]["choices"]
        return {"selectedOptionId": request["options"][values.index(wanted)]["id"]}
    if wanted is True:
        return {"approved": True}
    return {"freeformText": wanted} if isinstance(wanted, str) else {"data": wanted}


async def test_each_is_asked_whole_and_its_agent_gets_what_it_wants(
    api: httpx.AsyncClient,
) -> None:
    for payload, wants in [*WILD, *CHOSEN]:
        run = await paused(api, payload)
        (request,) = run["requests"]
        assert (request["kind"], request["payload"]) == ("open", payload)
        assert 0 < len(request["question"]) <= 20_000
        body = answering(run, **say(request, wants))
        run = (await api.post("/api/hitl/resume?wait=20", json=body)).json()["run"]
        assert run["status"] == "completed", (payload, run)
        assert run["result"]["outputs"] == {"answer": wants}, payload


@pytest.mark.parametrize("wild", [WILD[0], WILD[20], CHOSEN[0]])
async def test_one_that_is_rejected_is_not_resumed(api: httpx.AsyncClient, wild: Wild) -> None:
    run = await paused(api, wild.payload)
    body = answering(run, approved=False, freeformText="Not now")
    run = (await api.post("/api/hitl/resume?wait=20", json=body)).json()["run"]
    assert (run["status"], run["result"]["outputs"]) == ("completed", {})
    assert [step["status"] for step in run["plan"]["steps"]] == ["denied"]
    assert run["result"]["notDone"][0]["reason"] == "Not now"
    assert run["requests"][0]["deliveredAt"] is None
    assert "deliver" not in [entry["action"] for entry in run["metadata"]["auditLog"]]
