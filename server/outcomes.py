"""What a call came to, as it is kept for its Idempotency-Key: a run, or an error of the domain."""

from collections.abc import Iterator
from typing import cast

from hitl_orchestrator.domain.errors import Conflict, OrchestratorError
from hitl_orchestrator.domain.records import JsonObject
from hitl_orchestrator.domain.run import Run

Outcome = Run | OrchestratorError


def write_outcome(outcome: Outcome) -> JsonObject:
    if isinstance(outcome, Run):
        return {"run": outcome.json_object()}
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
    return error(str(kept["detail"]), **more)  # pyright: ignore[reportArgumentType]


def _errors() -> dict[str, type[OrchestratorError]]:
    return {error.__name__: error for error in _walk(OrchestratorError)}


def _walk(error: type[OrchestratorError]) -> Iterator[type[OrchestratorError]]:
    for child in error.__subclasses__():
        yield child
        yield from _walk(child)
