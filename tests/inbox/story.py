"""One seeded story: every kind of question, every way it ends, in the words of an office.

For tests, pictures and benchmarks, through the API of a server that has `AGENTS_OF_STORY`.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import httpx

from tests.inbox import hostile, questions
from tests.processes import AGENTS, DESK, serving

Json = dict[str, Any]

OFFICE = AGENTS / "office.py"
# For HITL_AGENTS; `asks.py` is for what tests ask besides.
AGENTS_OF_STORY = f"{OFFICE}:agents,{DESK},{AGENTS / 'asks.py'}:agent"
AGENTS_OF_YESTERDAY = f"{OFFICE}:retired"
GRACE: Json = {"id": "grace", "displayName": "Grace Hopper", "email": "grace@example.com"}
ADA: Json = {"id": "ada", "displayName": "Ada Lovelace"}
WAIT_SECONDS = 30


@dataclass
class Story:
    """Ids by name. A run has the name of its question.

    Where a run asks several at once they are `cleanup`, `cleanup_2`, `cleanup_3`.
    """

    runs: dict[str, str] = field(default_factory=dict[str, str])
    questions: dict[str, str] = field(default_factory=dict[str, str])

    def add(self, name: str, run: Json) -> None:
        """Note the run, and its newest questions."""
        self.runs[name] = run["runId"]
        pending = [one["requestId"] for one in run["requests"] if one["status"] == "pending"]
        asked = pending or [one["requestId"] for one in run["requests"][-1:]]
        for number, request_id in enumerate(asked, 1):
            self.questions[name if number == 1 else f"{name}_{number}"] = request_id


class Clerk(NamedTuple):
    """What an agent of the office takes and makes."""

    takes: str
    makes: str


CLERKS = {
    "mail.clerk": Clerk("letter", "reply"),
    "refund.desk": Clerk("claim", "settlement"),
    "release.captain": Clerk("rollout", "release"),
    "travel.desk": Clerk("journey", "booking"),
    "data.steward": Clerk("cleanup", "report"),
    "payment.bot": Clerk("invoice", "payment"),
    "contract.clerk": Clerk("drafts", "contract"),
    "archive.clerk": Clerk("records", "archive"),
    "ledger.bot": Clerk("entries", "ledger"),
    "stranger": Clerk("bait", "catch"),
    "stranger.failing": Clerk("trap", "nothing"),
    "fax.clerk": Clerk("fax", "receipt"),
}


class Ask(NamedTuple):
    agent: str
    objective: str
    payload: Any


# In the order in which they are asked; they stay open.
WAITING = {
    "mail": Ask("mail.clerk", "Answer the complaint about order 4711", questions.SEND),
    "rollout": Ask("release.captain", "Bring version 2.4 to all customers", questions.ROLLOUT),
    "press": Ask("mail.clerk", "Answer the journalist of the Evening Post", questions.PRESS),
    "journey": Ask("travel.desk", "Get the auditors to Graz and back", questions.JOURNEY),
    "cleanup": Ask(
        "data.steward", "Clean up what the import of October left behind", questions.CLEANUP
    ),
    "refund": Ask("refund.desk", "Settle the claim of Mr Okafor", questions.REFUND),
    "deploy": Ask("release.captain", "Close the hole in the image parser", questions.DEPLOY),
    "quote": Ask("refund.desk", "Write the reply to the regulator", questions.QUOTE),
    "transfer": Ask("payment.bot", "Pay ACME Tools for October", questions.TRANSFER),
    "iban": Ask("payment.bot", "Pay the invoice of Nordlicht GmbH", questions.IBAN),
    "schedule": Ask("payment.bot", "Pay the rent of the branch in Graz", questions.SCHEDULE),
}
HOSTILE = {
    "hostile_approval": Ask("stranger", hostile.EVERY, hostile.APPROVAL),
    "hostile_choice": Ask("stranger", hostile.MARKDOWN, hostile.CHOICE),
    "hostile_freeform": Ask(
        "stranger",
        hostile.WORD,
        {"question": hostile.EVERY, "kind": "freeform", "additionalContext": hostile.MARKDOWN},
    ),
    "hostile_form": Ask("stranger", hostile.EVERY, hostile.FORM),
    "hostile_open": Ask("stranger", hostile.EVERY, hostile.OPEN),
    "hostile_text": Ask("stranger", hostile.EVERY, hostile.EVERY),
    "huge": Ask("stranger", "Tell everybody what happened", hostile.HUGE),
    "long_word": Ask("stranger", f"Translate {hostile.WORD}", hostile.LONG_WORD),
}


async def seed(client: httpx.AsyncClient) -> Story:
    """Tell the whole story, in some seconds: first what has ended, then what still waits.

    Ended, each with its way: `approved`, `edited`, `rejected`, `chosen`, `written`, `filled`,
    `said`, `instead`; `denied` (by an operator), `removed`, `cancelled` (its run), `expired`,
    `refused` (by a guard), `hostile_answered`. Runs that asked nothing: `completed`, `failed`,
    `hostile_failed`. Waiting: WAITING, HOSTILE, `again` (rejected once, asked again) and `publish`
    (three posts, after an earlier answer of Grace).
    """
    story = Story()
    await seed_ended(client, story)
    await seed_waiting(client, story)
    await seed_hostile(client, story)
    return story


async def seed_ended(client: httpx.AsyncClient, story: Story) -> None:
    expiring = await start(
        client, Ask("refund.desk", "Settle the claim of Ms Ivanova", _soon(questions.REFUND))
    )
    story.add("expired", expiring)
    await _seed_answered(client, story)
    await _seed_given_up(client, story)
    await _seed_silent(client, story)
    await client.get(f"/api/hitl/requests/{story.questions['expired']}?wait={WAIT_SECONDS}")


async def seed_waiting(client: httpx.AsyncClient, story: Story) -> None:
    for name, ask in WAITING.items():
        story.add(name, await start(client, ask))
    story.add("again", await _ask_again(client))
    story.add("publish", await _publish(client))


async def seed_hostile(client: httpx.AsyncClient, story: Story) -> None:
    for name, ask in HOSTILE.items():
        story.add(name, await start(client, ask))
    answered = await start(client, Ask("stranger", hostile.EVERY, questions.PRESS))
    story.add("hostile_answered", answered)
    said: Json = {"freeformText": hostile.MARKDOWN + hostile.EVERY}
    await answer(
        client, story.questions["hostile_answered"], said, by=hostile.PERSON, note=hostile.EVERY
    )
    failed = Ask("stranger.failing", hostile.EVERY, hostile.EVERY[:1500])
    story.add("hostile_failed", await start(client, failed))


async def seed_held(database_url: str) -> Story:
    """Ask by an agent that no other server has: `held`, once a decision about it got a 409.

    It needs a server of its own for some seconds, which is told to end: one that was killed counts
    as alive for a while, and a decision would wait for it.
    """
    story = Story()
    with serving(database_url, HITL_AGENTS=AGENTS_OF_YESTERDAY) as server:
        headers = {"Authorization": f"Bearer {server.api_key}"}
        async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=60) as client:
            ask = Ask("fax.clerk", "Register the purchase of the office in Graz", questions.FAX)
            story.add("held", await start(client, ask))
        await asyncio.to_thread(server.terminate)
    return story


async def answer(
    client: httpx.AsyncClient,
    request_id: str,
    response: Json,
    by: Json = GRACE,
    **body: Any,
) -> Json:
    """Decide a question as somebody else does, over the API; return the run once it has paused."""
    request = await _get(client, f"/api/hitl/requests/{request_id}")
    body |= {"runId": request["runId"], "requestId": request_id, "operator": by}
    body["responses"] = [{"requestId": request_id, **response}]
    return (await _post(client, f"/api/hitl/resume?wait={WAIT_SECONDS}", body))["run"]


async def start(client: httpx.AsyncClient, ask: Ask, **body: Any) -> Json:
    """Start a run, and return it once it has paused or ended."""
    clerk = CLERKS[ask.agent]
    made: Json = {
        "objective": ask.objective,
        "agents": [ask.agent],
        "inputs": {clerk.takes: ask.payload},
        "outputs": [clerk.makes],
    }
    return await _post(client, f"/api/runs?wait={WAIT_SECONDS}", made | body)


async def _seed_answered(client: httpx.AsyncClient, story: Story) -> None:
    answers: dict[str, tuple[Ask, Json]] = {
        "approved": (WAITING["mail"], {"approved": True, "freeformText": "Well worded."}),
        "edited": (
            WAITING["refund"],
            {"approved": True, "editedArguments": _refund_less()},
        ),
        "rejected": (
            WAITING["deploy"],
            {"approved": False, "freeformText": "Not before the shops close at 20:00."},
        ),
        "chosen": (WAITING["rollout"], {"selectedOptionId": "beta"}),
        "written": (WAITING["press"], {"freeformText": "41 minutes, log-in only; no data lost."}),
        "filled": (WAITING["journey"], {"data": questions.BOOKED}),
        "said": (WAITING["iban"], {"freeformText": "AT61 1904 3002 3457 3201"}),
        "instead": (
            Ask("data.steward", "Send the report of October", questions.REPORT),
            {"freeformText": "Send nothing yet; the numbers of week 44 are wrong."},
        ),
    }
    for name, (ask, response) in answers.items():
        story.add(name, await start(client, ask))
        await answer(client, story.questions[name], response, note="As in October")


def _refund_less() -> Json:
    arguments: Json = questions.REFUND["action"]["arguments"]
    return {**arguments, "amount_eur": 150.0}


def _soon(question: Json) -> Json:
    return {**question, "expiresInSeconds": 1}


async def _seed_given_up(client: httpx.AsyncClient, story: Story) -> None:
    reasons = {
        "denied": ("hitl/deny", "Nobody here may decide this."),
        "removed": ("hitl/remove", "The customer has withdrawn the claim."),
        "cancelled": ("runs/{}/cancel", "Started twice by mistake."),
    }
    for name, (path, reason) in reasons.items():
        story.add(name, await start(client, WAITING["refund"]))
        run_id, request_id = story.runs[name], story.questions[name]
        body: Json = {"reason": reason, "operator": GRACE}
        if path.startswith("hitl"):
            body |= {"runId": run_id, "requestId": request_id}
        await _post(client, f"/api/{path.format(run_id)}", body)
    story.add("refused", await start(client, WAITING["quote"], maxHitlRequests=0))


async def _seed_silent(client: httpx.AsyncClient, story: Story) -> None:
    files = Ask("archive.clerk", "File the letters of October", ["4711.pdf", "4712.pdf"])
    story.add("completed", await start(client, files))
    books = Ask("ledger.bot", "Close the books of October", "The bank answered 502: Bad Gateway")
    story.add("failed", await start(client, books))


async def _ask_again(client: httpx.AsyncClient) -> Json:
    drafts = Ask("contract.clerk", "Agree with the supplier", [questions.CLAUSE] * 2)
    run = await start(client, drafts)
    response = {"approved": False, "freeformText": "Ask for twice the price of the order first."}
    return await answer(client, run["pendingRequestId"], response)


async def _publish(client: httpx.AsyncClient) -> Json:
    body = {
        "objective": "Announce Lumen 2.4",
        "inputs": {"source": questions.CHANGELOG},
        "outputs": ["published"],
    }
    run = await _post(client, f"/api/runs?wait={WAIT_SECONDS}", body)
    asked = await _get(client, f"/api/hitl/requests/{run['pendingRequestId']}")
    option = asked["options"][0]["id"]
    note = "As in the last three releases"
    return await answer(client, asked["requestId"], {"selectedOptionId": option}, note=note)


async def _get(client: httpx.AsyncClient, path: str) -> Json:
    reply = await client.get(path)
    assert reply.is_success, f"{path}: {reply.text}"
    return reply.json()


async def _post(client: httpx.AsyncClient, path: str, body: Json) -> Json:
    reply = await client.post(path, json=body)
    assert reply.is_success, f"{path}: {reply.text}"
    return reply.json()
