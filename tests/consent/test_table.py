"""Each dialect, answered and refused in each way: what came back, what was done, what was seen.

docs/agents.md has the table that is printed here.
"""

import asyncio
import json
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from hitl_orchestrator.domain.hitl import Answered, ResponseType
from tests.api.calls import Json, started
from tests.consent import gates

pytestmark = pytest.mark.filterwarnings("ignore:NodeInterrupt is deprecated")

NOT_RESUMED = "not resumed"
REASON = "…"
ANSWERED = Answered(responseType=ResponseType.APPROVAL, approved=True).json_object()
REFUSED = {"status": "denied", "approved": False, "reason": REASON}


class Row(NamedTuple):
    """`given`: how the agent asks. `sees`: kind and question. `says`: how a person says yes.

    `gets`: what `interrupt()` then returns; of the middlewares, what their model hears. `refused`:
    what it returns when it is refused.
    """

    dialect: str
    given: str
    sees: tuple[str, str]
    says: Json
    gets: Any
    refused: Any = NOT_RESUMED


APPROVED = {"approved": True}
MAIL, GO_ON = "Run send_mail?", "Go on with act?"
ROWS = [
    Row(
        "ours",
        '`{"question": …, "kind": "approval"}`',
        ("approval", "Pay?"),
        APPROVED,
        ANSWERED,
        REFUSED,
    ),
    Row(
        "langchain",
        "`HumanInTheLoopMiddleware`",
        ("approval", MAIL),
        APPROVED,
        ["sent to ann@example.org"],
        [f"User rejected the tool call for `send_mail` with reason: {REASON}"],
    ),
    Row(
        "per_call",
        '`HumanInTheLoopMiddleware`, `interrupt_mode="per_call"`',
        ("approval", MAIL),
        APPROVED,
        ["sent to ann@example.org"],
        [f"User rejected the tool call for `send_mail` with reason: {REASON}"],
    ),
    Row(
        "inbox",
        "Agent Inbox's `HumanInterrupt`",
        ("approval", "Run pay?"),
        APPROVED,
        [{"type": "accept", "args": {"action": "pay", "args": gates.PAYMENT}}],
        [{"type": "ignore", "args": None}],
    ),
    Row(
        "form",
        "`interrupt(…, response_schema=…)`",
        ("form", "Pay?"),
        {"data": {"pay": True}},
        {"pay": True},
    ),
    Row("mapping", "a mapping of its own", ("open", "Pay?"), APPROVED, True),
    Row("text", "a string", ("open", "Pay 4200 to ACME?"), {"freeformText": "ok"}, "ok"),
    Row("listing", "a list", ("open", "Payer waits for an answer"), {"data": [1]}, [1]),
    Row("typed", "a Pydantic object", ("open", "Pay?"), APPROVED, True),
    Row(
        "number", "a number", ("open", "Payer waits for an answer"), {"data": {"go": 1}}, {"go": 1}
    ),
    Row(
        "worded",
        "the mapping says how: `answer`",
        ("open", "Payer waits for an answer"),
        APPROVED,
        "yes",
        "no",
    ),
    Row(
        "refusable",
        "the mapping says how: `denied`",
        ("open", "Pay?"),
        APPROVED,
        True,
        {"refused": REASON},
    ),
    Row("task_group", "in an anyio task group", ("open", "Pay?"), APPROVED, True),
    Row(
        "breakpoint",
        "`interrupt_before`, `interrupt_after`",
        ("approval", "Go on with act?"),
        APPROVED,
        None,
    ),
    Row("node_interrupt", "`NodeInterrupt`", ("approval", GO_ON), APPROVED, None),
]

REFUSALS = {
    "rejected": "Not now",
    "limit 0": "Too many HITL requests",
    "disabled": "HITL is disabled",
    "expired": "Expired",
    "denied by an operator": "Not by us",
}
SETTINGS: dict[str, dict[str, Any]] = {
    "disabled": {"hitl_enabled": False},
    "expired": {"request_ttl_seconds": 0.5},
}


async def start(api: httpx.AsyncClient, row: Row, log: Path, how: str) -> Json:
    body = {
        "objective": "Pay",
        "inputs": {"log": str(log)},
        "agents": [row.dialect],
        "outputs": [f"{row.dialect}_done"],
        **({"maxHitlRequests": 0} if how == "limit 0" else {}),
    }
    response = await api.post("/api/runs?wait=30", json=body)
    assert response.status_code == 202, response.text
    return response.json()


async def decide(api: httpx.AsyncClient, row: Row, run: Json, how: str) -> Json:
    """Do what a person would, or wait until it has done itself."""
    name = run["pendingRequestId"]
    ids: Json = {"runId": run["runId"], "requestId": name}
    if how == "denied by an operator":
        await api.post("/api/hitl/deny", json={**ids, "reason": REFUSALS[how]})
    if how in ("answered", "rejected"):
        said: Json = (
            row.says if how == "answered" else {"approved": False, "freeformText": "Not now"}
        )
        body = {**ids, "responses": [{"requestId": name, **said}]}
        done = await api.post("/api/hitl/resume", json=body)
        assert done.status_code == 200, done.text
    while run["status"] not in ("completed", "failed", "cancelled"):
        run = (await api.get(f"/api/runs/{run['runId']}?wait=30")).json()
        await asyncio.sleep(0.05 if run["status"] == "awaiting_hitl" else 0)
    return run


class Outcome(NamedTuple):
    run: Json
    heard: Any
    acts: int


async def ask_and_decide(api: httpx.AsyncClient, row: Row, folder: Path, how: str) -> Outcome:
    log = folder / row.dialect
    log.touch()
    run = await decide(api, row, await start(api, row, log, how), how)
    lines = log.read_text().splitlines()
    heard = [json.loads(line) for line in lines if line[0] in '{["tfn' or line[0].isdigit()]
    acts = sum(line == "acted" or line.startswith("mail") for line in lines)
    said: Any = run["result"]["outputs"].get(f"{row.dialect}_done")
    return Outcome(run, heard[-1] if heard else None if said is True else said, acts)


def put_reason(value: Any, reason: str) -> Any:
    return json.loads(json.dumps(value).replace(json.dumps(REASON)[1:-1], reason))


@pytest.mark.parametrize("how", ["answered", *REFUSALS])
async def test_what_was_decided_is_what_happens(
    database_url: str, tmp_path: Path, how: str
) -> None:
    agents = (f"{gates.__file__}:agents",)
    async with started(database_url, agents=agents, **SETTINGS.get(how, {})) as api:
        outcomes = await asyncio.gather(*(ask_and_decide(api, row, tmp_path, how) for row in ROWS))
    for row, (run, heard, acts) in zip(ROWS, outcomes, strict=True):
        (request,) = run["requests"]
        (step,) = run["plan"]["steps"]
        refused = how != "answered"
        resumed = not refused or row.refused != NOT_RESUMED
        assert run["status"] == "completed", (row, run["error"])
        assert acts == (not refused), row
        assert step["status"] == ("completed" if resumed else "denied"), row
        assert (request["kind"], request["question"]) == row.sees, row
        audit = [entry["action"] for entry in run["metadata"]["auditLog"]]
        was_born_denied = how in ("limit 0", "disabled")
        assert ("deliver" in audit) == (resumed and not was_born_denied), (row, audit)
        if not refused:
            assert heard == row.gets, row
        elif resumed:
            assert heard == put_reason(row.refused, REFUSALS[how]), row
        else:
            assert heard is None, row
            assert run["result"]["notDone"][0]["reason"] == REFUSALS[how], row
