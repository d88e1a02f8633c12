"""Single questions for tests, a hundred mixed ones, and ten thousand."""

import asyncio
import random
from typing import Any

import httpx
import psycopg

from tests.bench.filling import TABLES, list_copies
from tests.inbox import questions
from tests.inbox.story import Ask, start

Json = dict[str, Any]

ACTION: Json = {
    "question": "Refund €20.00 to Mr Silva?",
    "kind": "approval",
    "action": {"name": "refund", "arguments": {"order": "A-1", "amount_eur": 20}},
}
CHOICE: Json = {
    "question": "Who gets the change first?",
    "kind": "choice",
    "options": [
        {"id": "staff", "label": "Staff"},
        {"id": "beta", "label": "Beta customers"},
        {"id": "all", "label": "Everybody"},
    ],
}
FREEFORM: Json = {"question": "What shall I answer Ms Tanaka?", "kind": "freeform"}
FORM: Json = {
    "question": "How shall I book Mr Hassan?",
    "kind": "form",
    "responseSchema": {
        "type": "object",
        "required": ["class", "seats"],
        "properties": {
            "class": {"type": "string", "enum": ["Second", "First"], "default": "Second"},
            "seats": {"type": "integer", "minimum": 1, "default": 1},
            "note": {"type": "string"},
        },
    },
}
OPEN: Json = {"message": "Transfer €200 to ACME?", "amount": 200}
# By kind, with who asks it.
SAMPLES = {
    "approval": Ask("refund.desk", "Settle a claim", ACTION),
    "choice": Ask("release.captain", "Roll out a change", CHOICE),
    "freeform": Ask("mail.clerk", "Answer a letter", FREEFORM),
    "form": Ask("travel.desk", "Book a journey", FORM),
    "open": Ask("payment.bot", "Pay a supplier", OPEN),
}
PEOPLE = ("Okafor", "Lindqvist", "Varga", "Hassan", "Ivanova", "Tanaka", "Moreau", "Silva")
MIXED = ("approval", "choice", "approval", "freeform", "approval", "form", "approval", "open")
URGENCIES = (*["normal"] * 7, "high", "low", "low")  # how often each is
AT_ONCE = 8

# Of runs that wait for one answer, for as long as it takes: what is copied has all times moved.
TO_COPY = """SELECT r.run_id FROM orchestrator_runs r
    JOIN hitl_requests q USING (run_id)
    WHERE r.status = 'awaiting_hitl' GROUP BY r.run_id
    HAVING count(*) = 1 AND bool_and(q.expires_at IS NULL AND q.status = 'pending')
    ORDER BY r.created_at LIMIT 8"""


async def ask(
    client: httpx.AsyncClient, kind: str = "approval", objective: str = "", **changes: Any
) -> str:
    """Ask a short question of that kind in a run of its own; return the request's id.

    `changes` are of the question: `question="Pay?"`, `urgency="high"`, `expiresInSeconds=2`.
    """
    sample = SAMPLES[kind]
    return await ask_whatever(
        client, {**sample.payload, **changes}, sample.agent, objective or sample.objective
    )


async def ask_whatever(
    client: httpx.AsyncClient,
    payload: Any,
    agent: str = "payment.bot",
    objective: str = "Pay a supplier",
    **body: Any,
) -> str:
    """Let an agent of the office hand any payload to `interrupt()`; return its first request's id.

    `body` is of the run: `threadId="t"`, `maxHitlRequests=0`.
    """
    run = await start(client, Ask(agent, objective, payload), **body)
    assert run["requests"], f"it asked nothing: {run['error']}"
    return run["pendingRequestId"] or run["requests"][0]["requestId"]


async def ask_many(client: httpx.AsyncClient, count: int, seed: int = 1) -> list[str]:
    """Ask so many of all kinds and urgencies, several at once; return the requests' ids."""
    places = asyncio.Semaphore(AT_ONCE)
    chance = random.Random(seed)  # noqa: S311  # the same each time

    async def ask_one(number: int, name: str, urgency: str) -> str:
        async with places:
            return await _ask_numbered(client, number, name, urgency)

    return await asyncio.gather(
        *[
            ask_one(number, chance.choice(PEOPLE), chance.choice(URGENCIES))
            for number in range(count)
        ]
    )


async def _ask_numbered(client: httpx.AsyncClient, number: int, name: str, urgency: str) -> str:
    kind = MIXED[number % len(MIXED)]
    if kind == "open":  # has no urgency
        return await ask(
            client, kind, f"Pay {name}", message=f"Transfer €{number} to {name} ({number})?"
        )
    words: dict[str, str] = {
        "approval": f"Refund €{20 + number}.00 to {name} (claim {number})?",
        "choice": f"Who gets change {number} first?",
        "freeform": f"What shall I answer {name} (letter {number})?",
        "form": f"How shall I book {name} (journey {number})?",
    }
    more: Json = {}
    if kind == "approval":
        arguments = {"order": f"A-{number}", "amount_eur": 20 + number, "letter": questions.LETTER}
        more["action"] = {"name": "refund", "arguments": arguments}
    return await ask(
        client, kind, f"{kind} {number}", question=words[kind], urgency=urgency, **more
    )


def ask_rows(database_url: str, count: int) -> None:
    """Add so many waiting questions by copies of those that wait already, each older by a second.

    Only such are copied as are the only one of their run and never expire; at most eight different
    ones. A copy has its original's text and rows, with ids of its own, also in what is stored as
    bytes: it can be answered.
    """
    with psycopg.connect(database_url) as conn:
        conn.execute("SET LOCAL synchronous_commit = off")
        run_ids = [row[0] for row in conn.execute(TO_COPY).fetchall()]
        assert run_ids, "nothing waits that could be copied"
        conn.execute("CREATE SEQUENCE bench_frames START 1000000")
        for number, run_id in enumerate(run_ids):
            values = {"first": 1 + number, "last": count, "step": len(run_ids)}
            for copy in list_copies(conn, run_id, TABLES):
                conn.execute(copy, values)
        conn.execute("DROP SEQUENCE bench_frames")
    with psycopg.connect(database_url, autocommit=True) as conn:
        conn.execute("VACUUM ANALYZE")
