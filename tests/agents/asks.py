"""Asks whatever its input says, and hands over what it was answered."""

from typing import Any

from langgraph.types import interrupt


def run(task: dict[str, Any]) -> dict[str, Any]:
    return {"answer": interrupt(task["facets"]["question"])}


agent: dict[str, Any] = {
    "capabilityId": "asks",
    "displayName": "Asker",
    "inputFacets": ["question"],
    "outputFacets": ["answer"],
    "run": run,
}


def ask(task: dict[str, Any]) -> dict[str, Any]:
    return {"asked": interrupt({"question": "What now?", "kind": "freeform"})}


asking: dict[str, Any] = {
    "capabilityId": "asks.always",
    "displayName": "Asker",
    "inputFacets": ["objective"],
    "outputFacets": ["asked"],
    "run": ask,
}
