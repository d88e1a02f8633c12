"""Each dialect, answered and refused in each way: what came back, what was done, what was seen.

docs/agents.md has the table that is printed here.
"""

import asyncio
import json
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from tests.api.calls import Json, started
from tests.consent import gates
from tests.consent.rows import NOT_RESUMED, REASON, ROWS, Row, markdown
from tests.repository import ROOT

pytestmark = pytest.mark.filterwarnings("ignore:NodeInterrupt is deprecated")

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
    if heard:
        said = heard[-1]
    elif said is True:
        said = None
    return Outcome(run, said, acts)


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
        resumed = not refused or row.refused is not NOT_RESUMED
        assert run["status"] == "completed", (row, run["error"])
        assert acts == (not refused), row
        assert step["status"] == ("completed" if resumed else "denied"), row
        assert (request["kind"], request["question"]) == row.sees, row
        assert row.shows in json.dumps(request["payload"]), row
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


def test_the_table_in_the_docs_is_what_was_tried() -> None:
    assert f"\n\n{markdown()}\n\n" in (ROOT / "docs" / "agents.md").read_text("utf-8")
