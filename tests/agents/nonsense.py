"""Agents that ask what nobody can answer."""

from typing import Any

from langgraph.types import interrupt


def mapping(name: str, question: Any) -> dict[str, Any]:
    async def run(task: dict[str, Any]) -> dict[str, Any]:
        return {"answer": interrupt(question)}

    return {
        "capabilityId": f"nonsense.{name}",
        "displayName": f"Asks nonsense ({name})",
        "inputFacets": ["objective"],
        "outputFacets": ["answer"],
        "run": run,
    }


agent = mapping("no_question", {"text": "What do you think?"})
empty = mapping("empty", "  ")
number = mapping("number", 42)
choice = mapping("choice", {"question": "Which?", "kind": "choice"})
actions = mapping("actions", {"action_requests": [], "review_configs": []})
decision = mapping(
    "decision",
    {
        "action_requests": [{"name": "send", "args": {}}],
        "review_configs": [{"action_name": "send", "allowed_decisions": ["shrug"]}],
    },
)
huge = mapping("huge", {"question": "Is this good?", "additionalContext": "x" * 300_000})
thing = mapping("thing", {"question": "Is this good?", "additionalContext": object()})
nul = mapping("nul", "Is \0 good?")
