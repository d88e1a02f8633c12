"""Which threads a search wants, and which page of them."""

from collections.abc import Mapping
from typing import NamedTuple

from hitl_orchestrator.domain.errors import Invalid
from hitl_orchestrator.domain.ports import WantedThreads
from hitl_orchestrator.domain.records import Json, JsonObject
from hitl_orchestrator.server.protocols.agent_server.threads import (
    ORCHESTRATOR,
    QUESTIONS,
    THREAD_STATUSES,
    find_graph,
)

MOST_THREADS, MOST_BEFORE = 200, 100_000
KNOWN = frozenset(
    {"metadata", "status", "ids", "limit", "offset", "select", "sort_by", "sort_order"}
)
SORTED_BY = ("created_at", "updated_at", "state_updated_at", None)
# What a thread's metadata has of ours, and where it is looked for.
OURS: Mapping[str, str] = {
    "runId": "run_id",
    "threadId": "thread_id",
    "originAgent": "agent",
    "urgency": "urgency",
}
OF_QUESTIONS = ("originAgent", "urgency")


class Search(NamedTuple):
    """`select`: the fields that are shown; empty: all."""

    graph: str
    wanted: WantedThreads
    offset: int
    limit: int
    select: frozenset[str]


def read_search(body: JsonObject) -> Search:
    """Return what is searched for. Raise Invalid, or NotFound for a graph that is none."""
    if unknown := {name for name, value in body.items() if value} - KNOWN:
        raise Invalid(f"Not offered here: {', '.join(sorted(unknown))[:200]}.")
    if body.get("sort_by") not in SORTED_BY or body.get("sort_order") not in ("desc", None):
        raise Invalid("Threads are sorted by when they were created, the newest first.")
    metadata = body.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise Invalid("`metadata` is to be an object.")
    noted = {**metadata}
    named = noted.pop("graph_id", None) or noted.pop("assistant_id", None)
    noted.pop("assistant_id", None)
    graph = find_graph(str(named) if named else None) or ORCHESTRATOR
    ours: dict[str, str] = {}
    for name, column in OURS.items():
        if name in noted and (graph == QUESTIONS or name not in OF_QUESTIONS):
            ours[column] = str(noted.pop(name))
    status = body.get("status")
    wanted = WantedThreads(
        statuses=tuple(one for one, shown in THREAD_STATUSES.items() if status in (None, shown)),
        waiting=status in (None, "interrupted"),
        over=status in (None, "idle"),
        ids=_read_texts(body, "ids"),
        metadata=noted,
        **ours,
    )
    return Search(
        graph,
        wanted,
        _read_number(body, "offset", 0, MOST_BEFORE),
        _read_number(body, "limit", 10, MOST_THREADS),
        frozenset(_read_texts(body, "select") or ()),
    )


def _read_number(body: Mapping[str, Json], name: str, default: int, most: int) -> int:
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, int) or not 0 <= value <= most:
        raise Invalid(f"`{name}` is to be a whole number from 0 to {most}.")
    return value


def _read_texts(body: Mapping[str, Json], name: str) -> list[str] | None:
    value = body.get(name)
    if value is not None and not isinstance(value, list):
        raise Invalid(f"`{name}` is to be a list.")
    return [str(one) for one in value] if value else None
