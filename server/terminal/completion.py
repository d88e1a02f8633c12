"""What a shell offers where an id is typed: those of the server that the command would call.

A server that is away, slow or unwilling offers nothing: a shell that completes shows no errors.
Some shells evaluate what they are offered, as zsh does. So they get ids alone, no agent's words.
"""

import re
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hitl_orchestrator.server.terminal.client import Api

MOST = 50
CALL_SECONDS = 2.0
_HARMLESS = re.compile(r"\w+", re.ASCII)


def offer_requests(incomplete: str) -> list[str]:
    """Offer questions that wait."""
    return _offer(lambda api: api.request_ids(incomplete, MOST, status="pending"))


def offer_runs(incomplete: str) -> list[str]:
    """Offer runs, the newest first."""
    return _offer(lambda api: api.run_ids(incomplete, MOST))


def offer_anything(incomplete: str) -> list[str]:
    """Offer questions that wait, and runs."""
    return offer_requests(incomplete) + offer_runs(incomplete)


def _offer(look_up: "Callable[[Api], list[str]]") -> list[str]:
    from hitl_orchestrator.server.terminal.client import Api
    from hitl_orchestrator.server.terminal.discovery import find_server, read_sources
    from hitl_orchestrator.server.terminal.errors import ClientError

    with suppress(ClientError):
        api = Api(find_server(*read_sources()), 0, CALL_SECONDS)
        return list(filter(_HARMLESS.fullmatch, look_up(api)))
    return []
