"""What a call came to, as it is kept for its Idempotency-Key: a run, or an error of the domain."""

import time
from collections.abc import Iterator
from typing import cast

from hitl_orchestrator.domain.errors import Conflict, OrchestratorError
from hitl_orchestrator.domain.records import JsonObject
from hitl_orchestrator.domain.run import Run

LONGEST_WAIT_SECONDS = 60.0  # of a call with `?wait`

Outcome = Run | OrchestratorError


def write_outcome(outcome: Outcome, wait_seconds: float = 0) -> JsonObject:
    """Write what is kept. `wait_seconds`: the call is not answered yet, but waits so long."""
    if isinstance(outcome, Run):
        kept: JsonObject = {"run": outcome.json_object()}
        return {**kept, "waitsUntil": time.time() + wait_seconds} if wait_seconds else kept
    return {
        "error": type(outcome).__name__,
        "detail": outcome.detail,
        "more": dict(outcome.more),
    }


def read_outcome(kept: JsonObject) -> Outcome:
    """Read what was kept, perhaps by another version: an error of no known name is a Conflict."""
    if "run" in kept:
        return Run.model_validate(kept["run"])
    error = _errors().get(str(kept["error"]), Conflict)
    more = cast(JsonObject, kept["more"])
    return error(str(kept["detail"]), **more)


def read_wait(kept: JsonObject) -> float | None:
    """Return how many seconds the first call waits on; None: it was answered.

    The clocks of two machines may differ: that is a longer or a shorter wait, at most one of
    LONGEST_WAIT_SECONDS.
    """
    until = kept.get("waitsUntil")
    if not isinstance(until, int | float):
        return None
    return min(max(until - time.time(), 0), LONGEST_WAIT_SECONDS)


def _errors() -> dict[str, type[OrchestratorError]]:
    return {error.__name__: error for error in _walk(OrchestratorError)}


def _walk(error: type[OrchestratorError]) -> Iterator[type[OrchestratorError]]:
    for child in error.__subclasses__():
        yield child
        yield from _walk(child)
