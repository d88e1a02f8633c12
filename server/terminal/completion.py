"""What a shell offers where an id is typed: those of the server that the command would call.

A server that is away, slow or unwilling offers nothing: a shell that completes shows no errors.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hitl_orchestrator.server.terminal.client import Api

MOST = 50
CALL_SECONDS = 2.0

Offers = list[tuple[str, str]]  # an id, and what it is


def offer_requests(incomplete: str) -> Offers:
    """Offer questions that wait."""

    def look_up(api: "Api") -> Offers:
        found = api.requests(incomplete, MOST, status="pending")
        return [(request["requestId"], request["question"]) for request in found]

    return _offer(look_up)


def offer_runs(incomplete: str) -> Offers:
    """Offer runs, the newest first."""

    def look_up(api: "Api") -> Offers:
        return [(run_id, "") for run_id in api.run_ids(incomplete, MOST)]

    return _offer(look_up)


def offer_anything(incomplete: str) -> Offers:
    """Offer questions that wait, and runs."""
    return offer_requests(incomplete) + offer_runs(incomplete)


def _offer(look_up: "Callable[[Api], Offers]") -> Offers:
    from hitl_orchestrator.server.terminal.client import Api
    from hitl_orchestrator.server.terminal.discovery import find_server, read_sources
    from hitl_orchestrator.server.terminal.errors import ClientError
    from hitl_orchestrator.server.terminal.text import join_lines

    with suppress(ClientError):
        api = Api(find_server(*read_sources()), 0, CALL_SECONDS)
        return [(each, join_lines(what)) for each, what in look_up(api)]
    return []
