"""An office of agents for the inbox: each asks what the facet that it takes says.

`stranger` bears a hostile name, and fails where it is told to.
"""

from collections.abc import Callable
from typing import Any

from langgraph.types import interrupt

Run = Callable[[dict[str, Any]], dict[str, Any]]
HOSTILE_NAME = (
    "<b onclick=alert(1)>Stranger</b> \u202erelc\u202c [x](javascript:alert(1))"
    "<svg onload=window.owned=1>\u3164\u200b"
)


def ask(takes: str, makes: str) -> Run:
    """Make an agent that asks once; a refusal leaves its work undone."""

    def run(task: dict[str, Any]) -> dict[str, Any]:
        answer: Any = interrupt(task["facets"][takes])
        return {} if is_refused(answer) else {makes: answer}

    return run


def ask_in_turn(takes: str, makes: str) -> Run:
    """Make an agent that asks a list of questions one after the other, whatever is answered."""

    def run(task: dict[str, Any]) -> dict[str, Any]:
        return {makes: [interrupt(question) for question in task["facets"][takes]]}

    return run


def file_away(takes: str, makes: str) -> Run:
    """Make an agent that asks nobody."""

    def run(task: dict[str, Any]) -> dict[str, Any]:
        return {makes: {"filed": task["facets"][takes]}}

    return run


def fail(takes: str, makes: str) -> Run:
    def run(task: dict[str, Any]) -> dict[str, Any]:
        raise RuntimeError(task["facets"][takes])

    return run


def is_refused(answer: Any) -> bool:
    match answer:
        case {"status": "denied"}:
            return True
        case _:
            return False


def clerk(
    make: Callable[[str, str], Run], capability: str, name: str, takes: str, makes: str, does: str
) -> dict[str, Any]:
    return {
        "capabilityId": capability,
        "displayName": name,
        "summary": does,
        "inputFacets": ["objective", takes],
        "outputFacets": [makes],
        "run": make(takes, makes),
    }


agents: list[dict[str, Any]] = [
    clerk(ask, "mail.clerk", "Mail clerk", "letter", "reply", "Answers customers' mail."),
    clerk(ask, "refund.desk", "Refund desk", "claim", "settlement", "Decides on refunds."),
    clerk(ask, "release.captain", "Release captain", "rollout", "release", "Rolls releases out."),
    clerk(ask, "travel.desk", "Travel desk", "journey", "booking", "Books journeys."),
    clerk(ask, "data.steward", "Data steward", "cleanup", "report", "Keeps the records clean."),
    clerk(ask, "payment.bot", "Payment bot", "invoice", "payment", "Pays what is due."),
    clerk(
        ask_in_turn, "contract.clerk", "Contract clerk", "drafts", "contract", "Words contracts."
    ),
    clerk(file_away, "archive.clerk", "Archivist", "records", "archive", "Files things away."),
    clerk(fail, "ledger.bot", "Bookkeeper", "entries", "ledger", "Keeps the books."),
    clerk(ask, "stranger", HOSTILE_NAME, "bait", "catch", HOSTILE_NAME),
    clerk(fail, "stranger.failing", HOSTILE_NAME, "trap", "nothing", HOSTILE_NAME),
]
retired: dict[str, Any] = clerk(ask, "fax.clerk", "Fax clerk", "fax", "receipt", "Sends faxes.")
