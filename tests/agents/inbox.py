"""Agent Inbox's HumanInterrupt, as a list of one and as it is; and one that cannot be ignored."""

from pathlib import Path
from typing import Any

from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt
from typing_extensions import TypedDict


class State(TypedDict, total=False):
    facets: dict[str, Any]
    reply: dict[str, Any]


def mapping(
    capability: str, in_a_list: bool, may_ignore: bool, may_respond: bool
) -> dict[str, Any]:
    request = {
        "action_request": {
            "action": "Send reply",
            "args": {"to": "ann@example.org", "text": "Yes."},
        },
        "config": {
            "allow_accept": True,
            "allow_edit": True,
            "allow_ignore": may_ignore,
            "allow_respond": may_respond,
        },
        "description": "# A mail from Ann\n\nShe asks whether we come.",
    }

    def answer_mail(state: State) -> State:
        response = interrupt([request] if in_a_list else request)[0]
        if log := state.get("facets", {}).get("log"):
            with Path(log).open("a") as lines:
                lines.write(response["type"] + "\n")
        return {"reply": response}

    graph = StateGraph(State)
    graph.add_node("answer mail", answer_mail)
    graph.add_edge(START, "answer mail")
    graph.add_edge("answer mail", END)
    return {
        "capabilityId": capability,
        "displayName": "Mail answerer",
        "inputFacets": ["objective"],
        "optionalInputFacets": ["log"],
        "outputFacets": ["reply"],
        "run": graph.compile(),
    }


agent = mapping("mail.answerer", in_a_list=True, may_ignore=True, may_respond=True)
bare = mapping("mail.bare", in_a_list=False, may_ignore=True, may_respond=True)
insistent = mapping("mail.insistent", in_a_list=True, may_ignore=False, may_respond=False)
