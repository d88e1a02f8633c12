"""Agents that return what their contract forbids."""

from typing import Any


def mapping(name: str, made: Any) -> dict[str, Any]:
    async def run(task: dict[str, Any]) -> Any:
        return made

    return {
        "capabilityId": f"forbidden.{name}",
        "displayName": f"Returns what is forbidden ({name})",
        "inputFacets": ["objective"],
        "outputFacets": ["brief"],
        "facets": {
            "brief": {
                "type": "object",
                "required": ["audience"],
                "properties": {"audience": {"type": "string"}},
            }
        },
        "run": run,
    }


agent = mapping("type", {"brief": {"audience": 5}})
missing = mapping("missing", {"brief": {}})
text = mapping("text", "a brief")
not_a_number = mapping("not_a_number", {"brief": {"audience": float("nan")}})
nul = mapping("nul", {"brief": {"audience": "a\0b"}})
surrogate = mapping("surrogate", {"brief": {"audience": "\ud800"}})
thing = mapping("thing", {"brief": {"audience": object()}})
huge = mapping("huge", {"brief": {"audience": "x" * 1_100_000}})
