"""The built-in agent that asks what agents elsewhere ask, as an agent of any other form would."""

from typing import Any

from langgraph.types import interrupt

from hitl_orchestrator.domain.errors import Invalid
from hitl_orchestrator.domain.outside import ANSWER, ASKED, OUTSIDE, NewQuestion
from hitl_orchestrator.nodes.agents import Agent, read_agent
from hitl_orchestrator.nodes.dialects import read_questions

MOST_OBJECTIVE = 300  # characters of its question


def build_outside() -> Agent:
    return read_agent(
        {
            "capabilityId": OUTSIDE,
            "displayName": "An agent elsewhere",
            "summary": "Puts a question of an agent that runs elsewhere to a person.",
            "inputFacets": ASKED,
            "outputFacets": ANSWER,
            "run": _ask,
        },
        OUTSIDE,
    )


def read_objective(new: NewQuestion, asker: str) -> str:
    """Return what its run is called. Raise Invalid for what cannot be asked."""
    questions = read_questions(new.payload, new.responseSchema, asker)
    for question in questions:
        if question.unshowable is not None:
            raise Invalid(question.unshowable)
    return questions[0].question[:MOST_OBJECTIVE]


async def _ask(task: dict[str, Any]) -> dict[str, Any]:
    asked = task["facets"][ASKED]
    payload, schema = asked["payload"], asked["responseSchema"]
    answer = interrupt(payload) if schema is None else interrupt(payload, response_schema=schema)
    return {ANSWER: answer}
