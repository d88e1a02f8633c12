"""The agent of README.md. Plug it in: HITL_AGENTS=examples/audience.py:agent scripts/run"""

from langgraph.types import interrupt


async def run(task: dict) -> dict:  # a sync function works too
    answer = interrupt(
        {
            "question": "Which audience?",
            "kind": "choice",
            "options": [{"id": "dev", "label": "Developers"}, {"id": "ops", "label": "Operators"}],
        }
    )
    if answer["status"] == "denied":
        return {"brief": {"audience": "general", "why": answer["reason"]}}
    return {"brief": {"audience": answer["selectedOptionId"]}}


agent = {
    "capabilityId": "briefing.audience",
    "displayName": "Audience finder",
    "summary": "Finds whom to address.",
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
