"""What a yes and a no come to, by dialect: the table that is tried and that docs/agents.md shows.

`python -m tests.consent.rows` prints it.
"""

import json
import sys
from typing import Any, NamedTuple

from hitl_orchestrator.domain.hitl import Answered, ResponseType

Json = dict[str, Any]

NOT_RESUMED = object()
NOTHING = "nothing: its step ends `denied`"
REASON = "…"
ANSWERED = Answered(responseType=ResponseType.APPROVAL, approved=True).json_object()
YES_IN_SHORT = {name: value for name, value in ANSWERED.items() if value is not None}
REFUSED = {"status": "denied", "approved": False, "reason": REASON}
APPROVED: Json = {"approved": True}
REFUSED_TOOL = [f"User rejected the tool call for `send_mail` with reason: {REASON}"]


class Row(NamedTuple):
    """One gate of gates.py.

    `asks`: how, as code. `sees`: kind and question; `shows`: what of the payload must be seen.
    `says`: how a person says yes; `gets`: what `interrupt()` then returns, of the middlewares what
    their model hears. `refused`: what it returns when it is refused.
    """

    dialect: str
    asks: str
    sees: tuple[str, str]
    shows: str
    says: Json
    gets: Any
    refused: Any = NOT_RESUMED


ROWS = [
    Row(
        "ours",
        'interrupt({"question": "Pay?", "kind": "approval", …})["approved"]',
        ("approval", "Pay?"),
        "ACME",
        APPROVED,
        ANSWERED,
        REFUSED,
    ),
    Row(
        "langchain",
        "HumanInTheLoopMiddleware(…)",
        ("approval", "Run send_mail?"),
        "ann@example.org",
        APPROVED,
        ["sent to ann@example.org"],
        REFUSED_TOOL,
    ),
    Row(
        "per_call",
        'HumanInTheLoopMiddleware(…, interrupt_mode="per_call")',
        ("approval", "Run send_mail?"),
        "ann@example.org",
        APPROVED,
        ["sent to ann@example.org"],
        REFUSED_TOOL,
    ),
    Row(
        "inbox",
        'interrupt([{"action_request": …, "config": …}])[0]["type"]',
        ("approval", "Run pay?"),
        "ACME",
        APPROVED,
        [{"type": "accept", "args": {"action": "pay", "args": {"payee": "ACME", "amount": 4200}}}],
        [{"type": "ignore", "args": None}],
    ),
    Row(
        "form",
        "interrupt(…, response_schema=Consent).pay",
        ("form", "Pay?"),
        "ACME",
        {"data": {"pay": True}},
        {"pay": True},
    ),
    Row(
        "mapping",
        'if interrupt({"question": "Pay?", "details": …}):',
        ("open", "Pay?"),
        "ACME",
        APPROVED,
        True,
    ),
    Row(
        "text",
        'interrupt("Pay 4200 to ACME?")',
        ("open", "Pay 4200 to ACME?"),
        "ACME",
        {"freeformText": "ok"},
        "ok",
    ),
    Row(
        "listing",
        "interrupt([payment, payment])",
        ("open", "Payer waits for an answer"),
        "ACME",
        {"data": [1]},
        [1],
    ),
    Row("typed", "interrupt(Payment(…))", ("open", "Pay?"), "ACME", APPROVED, True),
    Row(
        "number",
        "interrupt(4200)",
        ("open", "Payer waits for an answer"),
        "4200",
        {"data": {"go": 1}},
        {"go": 1},
    ),
    Row(
        "worded",
        'interrupt({"action": "pay", …}) == "yes", with `answer`',
        ("open", "Payer waits for an answer"),
        "ACME",
        APPROVED,
        "yes",
        "no",
    ),
    Row(
        "refusable",
        'interrupt({"message": "Pay?", …}) is True, with `denied`',
        ("open", "Pay?"),
        "ACME",
        APPROVED,
        True,
        {"refused": REASON},
    ),
    Row(
        "task_group",
        "async with create_task_group(): interrupt({…})",
        ("open", "Pay?"),
        "ACME",
        APPROVED,
        True,
    ),
    Row(
        "breakpoint",
        'compile(interrupt_before=["act"])',
        ("approval", "Go on with act?"),
        "facets",
        APPROVED,
        None,
    ),
    Row(
        "node_interrupt",
        'raise NodeInterrupt("More than 4000 to ACME")',
        ("approval", "Go on with act?"),
        "More than 4000 to ACME",
        APPROVED,
        None,
    ),
]


def markdown() -> str:
    lines = [
        "| the agent asks | a person is asked | at a yes it gets | at a no it gets |",
        "| --- | --- | --- | --- |",
    ]
    for row in ROWS:
        kind, question = row.sees
        no = NOTHING if row.refused is NOT_RESUMED else _show(row.refused)
        yes = "nothing, and goes on" if row.gets is None else _show(row.gets)
        code, _, key = row.asks.partition(", with ")
        with_key = f", with {key}" if key else ""
        lines.append(f"| `{code}`{with_key} | {kind}: {question} | {yes} | {no} |")
    return "\n".join(lines)


def _show(value: Any) -> str:
    """Show JSON in a cell; of our envelope only what is not null."""
    text = json.dumps(value if value != ANSWERED else YES_IN_SHORT, ensure_ascii=False)
    return f"``{text}``" if "`" in text else f"`{text}`"


if __name__ == "__main__":
    sys.stdout.write(markdown() + "\n")
