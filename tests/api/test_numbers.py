"""An answer may hold every number that its question may."""

import json
from typing import Any

import httpx
import pytest

from tests.api.calls import Json, answering, is_problem, paused

NUMBERS = [2**63, 2**64 - 1, -(2**63), 1e16, 9.3e18, 1e19, 1e30, -1e300, 5e-324]
TOO_LARGE = ["18446744073709551616", "-9223372036854775809", "1e400"]


def propose(number: float) -> Json:
    action = {"name": "send", "arguments": {"n": number}}
    return {"question": "Send it?", "kind": "approval", "action": action}


async def resume(api: httpx.AsyncClient, body: Json, number: str = "") -> httpx.Response:
    """`number`: stands in the JSON where the body has "N"."""
    content = json.dumps(body).replace('"N"', number)
    return await api.post(
        "/api/hitl/resume?wait=20", content=content, headers={"Content-Type": "application/json"}
    )


@pytest.mark.parametrize("number", NUMBERS)
async def test_what_was_proposed_can_be_approved_as_it_is(
    api: httpx.AsyncClient, number: float
) -> None:
    run = await paused(api, propose(number), metadata={"n": number})
    shown = run["requests"][0]["action"]["arguments"]["n"]
    assert (shown, type(shown), run["metadata"]["n"]) == (number, type(number), number)
    answered = await resume(api, answering(run, approved=True, editedArguments={"n": shown}))
    assert answered.status_code == 200, answered.text
    done: Any = answered.json()["run"]
    got = done["result"]["outputs"]["answer"]["editedArguments"]["n"]
    assert (done["status"], got, type(got)) == ("completed", number, type(number))


@pytest.mark.parametrize("number", TOO_LARGE)
async def test_what_no_agent_can_propose_no_answer_can_hold(
    api: httpx.AsyncClient, number: str
) -> None:
    run = await paused(api, propose(1))
    body = answering(run, approved=True, editedArguments={"n": "N"})
    problem = is_problem(await resume(api, body, number), 422)
    assert "The body " in problem["detail"]
