"""The story is as its names say, and what is asked for tests can be answered."""

from typing import Any

import httpx
import pytest

from tests.inbox.asking import ask, ask_many, ask_rows, ask_whatever
from tests.inbox.browser import Inbox
from tests.inbox.story import HOSTILE, WAITING, Story, answer, seed_held

pytestmark = pytest.mark.slow
Json = dict[str, Any]

ENDED = {
    "approved": ("resolved", "approval", None),
    "edited": ("resolved", "approval", None),
    "rejected": ("resolved", "rejection", None),
    "chosen": ("resolved", "option", None),
    "written": ("resolved", "freeform", None),
    "filled": ("resolved", "form", None),
    "said": ("resolved", "freeform", None),
    "instead": ("resolved", "freeform", None),
    "hostile_answered": ("resolved", "freeform", None),
    "denied": ("denied", None, "Nobody here may decide this."),
    "removed": ("denied", None, "The customer has withdrawn the claim."),
    "cancelled": ("denied", None, "Started twice by mistake."),
    "expired": ("denied", None, "Expired"),
    "refused": ("denied", None, "Too many HITL requests"),
}
STILL = (*WAITING, "cleanup_2", "cleanup_3", *HOSTILE, "again", "publish")
OPEN = {"transfer", "iban", "schedule", "hostile_open", "hostile_text"}


async def test_what_has_ended_ended_as_its_name_says(office: Inbox, story: Story) -> None:
    ended = {name: await get(office.api, story.questions[name]) for name in ENDED}
    assert {name: tell_end(request) for name, request in ended.items()} == ENDED


async def test_what_waits_waits(office: Inbox, story: Story) -> None:
    waiting = {name: await get(office.api, story.questions[name]) for name in STILL}
    assert {request["status"] for request in waiting.values()} == {"pending"}
    assert {name for name, request in waiting.items() if request["kind"] == "open"} == OPEN
    assert waiting["again"]["attempt"] == 2
    assert len(waiting["publish"]["action"]["arguments"]["posts"]) == 3
    assert len(waiting["huge"]["action"]["arguments"]["log"]) == 200 * 1024


async def test_runs_that_asked_nothing_ended(office: Inbox, story: Story) -> None:
    runs = [
        (await office.api.get(f"/api/runs/{story.runs[name]}")).json()
        for name in ("completed", "failed", "hostile_failed")
    ]
    assert [run["status"] for run in runs] == ["completed", "failed", "failed"]


async def test_a_run_of_an_agent_that_is_gone_is_held(office: Inbox, office_database: str) -> None:
    held = await seed_held(office_database)
    with pytest.raises(AssertionError, match="urn:hitl:held"):
        await answer(office.api, held.questions["held"], {"approved": True})
    run = (await office.api.get(f"/api/runs/{held.runs['held']}")).json()
    assert run["held"]["capabilityId"] == "fax.clerk"


async def test_single_questions_are_asked_in_any_way(office: Inbox) -> None:
    pay = await ask(office.api, question="Pay?", urgency="high", expiresInSeconds=600)
    request = await get(office.api, pay)
    assert (request["question"], request["urgency"]) == ("Pay?", "high")
    assert request["expiresAt"]
    number = await ask_whatever(office.api, 4200)
    assert (await get(office.api, number))["payload"] == 4200


async def test_ten_thousand_more_can_be_answered_like_those_they_are_copies_of(
    office: Inbox, office_database: str
) -> None:
    await ask_many(office.api, 16)
    before = (await office.api.get("/api/hitl/requests/counts")).json()["pending"]
    ask_rows(office_database, 10_000)
    counts = (await office.api.get("/api/hitl/requests/counts")).json()
    assert counts["pending"] == before + 10_000
    page = (await office.api.get("/api/hitl/requests?status=pending&q=Refund&limit=1")).json()
    (oldest,) = page["requests"]
    run = await answer(office.api, oldest["requestId"], {"approved": True})
    assert run["status"] == "completed"


async def get(client: httpx.AsyncClient, request_id: str) -> Json:
    reply = await client.get(f"/api/hitl/requests/{request_id}")
    assert reply.is_success, reply.text
    return reply.json()


def tell_end(request: Json) -> tuple[str, str | None, str | None]:
    kind = request["responses"][0]["responseType"] if request["responses"] else None
    return request["status"], kind, request["denialReason"]
