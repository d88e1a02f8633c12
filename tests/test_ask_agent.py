"""Agents are tested without a server and a database: `hitl_orchestrator.testing`."""

from pathlib import Path
from threading import Event
from typing import Any

import pytest
from langgraph.graph import END, START, StateGraph
from langgraph.store.base import BaseStore
from langgraph.types import Send, interrupt
from pydantic import BaseModel
from typing_extensions import TypedDict

from hitl_orchestrator.domain.errors import ConfigurationError, Invalid
from hitl_orchestrator.domain.hitl import HitlRequest, Kind
from hitl_orchestrator.testing import AgentFailed, UnusedAnswers, ask_agent, ask_agent_async
from tests.repository import ROOT

AUDIENCE = str(ROOT / "examples" / "audience.py") + ":agent"


def agent(run: Any, **changes: Any) -> dict[str, Any]:
    return {
        "capabilityId": "tried",
        "displayName": "Tried",
        "outputFacets": ["said"],
        "run": run,
        **changes,
    }


def asking(payload: Any) -> dict[str, Any]:
    def run(task: dict[str, Any]) -> dict[str, Any]:
        return {"said": interrupt(payload)}

    return agent(run)


def test_an_agent_of_a_file_is_asked_and_answered_in_three_lines() -> None:
    asked = ask_agent(AUDIENCE, "Announce it", answers=["ops"])
    assert asked.facets == {"brief": {"audience": "ops"}}
    assert [question.question for question in asked.questions] == ["Which audience?"]


async def test_it_is_asked_in_an_async_test_too() -> None:
    asked = await ask_agent_async(AUDIENCE, answers=["Developers"])
    assert asked.facets == {"brief": {"audience": "dev"}}
    with pytest.raises(TypeError, match="await ask_agent_async"):
        ask_agent(AUDIENCE)


def test_a_rejection_is_an_answer() -> None:
    asked = ask_agent(AUDIENCE, answers=[{"approved": False, "freeformText": "Not now"}])
    assert asked.facets == {"brief": {"audience": "general", "why": "Not now"}}
    assert ask_agent(AUDIENCE, answers=[False]).facets["brief"]["audience"] == "general"


def test_the_limit_is_as_on_a_server() -> None:
    asked = ask_agent(AUDIENCE, max_questions=0)
    assert asked.questions[0].denialReason is not None
    assert asked.facets["brief"]["audience"] == "general"


def test_where_nobody_answers_it_waits() -> None:
    asked = ask_agent(AUDIENCE)
    assert (asked.status, asked.facets, asked.reason) == ("awaiting_hitl", {}, None)
    assert asked.questions[0].kind is Kind.CHOICE


@pytest.mark.parametrize(
    ("payload", "said", "got"),
    [
        ({"question": "Go?", "kind": "approval"}, True, {"approved": True}),
        ({"question": "Who?", "kind": "freeform"}, "Ann", {"freeformText": "Ann"}),
        (
            {"question": "How many?", "kind": "form", "responseSchema": {"type": "object"}},
            {"number": 3},
            {"data": {"number": 3}},
        ),
    ],
)
def test_an_answer_is_said_in_short(payload: Any, said: Any, got: dict[str, Any]) -> None:
    answer = ask_agent(asking(payload), answers=[said]).facets["said"]
    assert answer | got == answer


@pytest.mark.parametrize("said", [True, "yes", {"any": "thing"}, 3, [1]])
def test_an_open_question_is_answered_raw(said: Any) -> None:
    assert ask_agent(asking("Well?"), answers=[said]).facets == {"said": said}


def test_a_refusal_never_looks_like_consent() -> None:
    asked = ask_agent(asking("Well?"), answers=[False])
    assert (asked.status, asked.facets, asked.reason) == ("completed", {}, "Rejected")


def test_an_answer_that_does_not_fit_is_refused() -> None:
    with pytest.raises(Invalid):
        ask_agent(AUDIENCE, answers=[True])
    with pytest.raises(Invalid):
        ask_agent(AUDIENCE, answers=["nobody"])


def test_an_answer_that_nobody_asked_for_is_named() -> None:
    with pytest.raises(UnusedAnswers, match=r"asked 1 questions; not used: \['dev'\]"):
        ask_agent(AUDIENCE, answers=["ops", "dev"])


def test_answers_may_come_of_a_function() -> None:
    def answer(request: HitlRequest) -> str:
        return request.options[-1].id

    assert ask_agent(AUDIENCE, answers=answer).facets == {"brief": {"audience": "ops"}}


def test_what_it_raises_is_the_cause() -> None:
    def run(task: dict[str, Any]) -> dict[str, Any]:
        raise ZeroDivisionError("no quotient")

    with pytest.raises(AgentFailed, match="no quotient") as failed:
        ask_agent(agent(run))
    assert isinstance(failed.value.__cause__, ZeroDivisionError)
    assert failed.value.asked.frames[-1]["type"] == "error"


def test_a_call_that_hangs_keeps_no_test_waiting() -> None:
    ended = Event()

    def run(task: dict[str, Any]) -> dict[str, Any]:
        ended.wait(60)
        return {}

    with pytest.raises(AgentFailed, match=r"took longer than its 0\.2 seconds"):
        ask_agent(agent(run, timeoutSeconds=0.2))
    assert not ended.is_set()
    ended.set()


def test_what_does_not_fit_its_schema_fails() -> None:
    with pytest.raises(AgentFailed, match="said does not fit its schema"):
        ask_agent(agent(lambda task: {"said": 1}, facets={"said": {"type": "string"}}))  # pyright: ignore[reportUnknownLambdaType]


def test_facets_are_given_and_missing_ones_are_named() -> None:
    class Source(BaseModel):
        text: str

    def run(task: dict[str, Any]) -> dict[str, Any]:
        return {"said": task["facets"]["source"]["text"], "more": 1}

    copies = agent(run, inputFacets=["source"], facets={"source": Source})
    asked = ask_agent(copies, facets={"source": {"text": "A"}})
    assert asked.facets == {"said": "A"}
    assert "more, which is none of its output facets" in asked.warnings[0]
    with pytest.raises(Invalid, match="source"):
        ask_agent(copies)


def test_what_is_no_agent_is_named() -> None:
    with pytest.raises(ConfigurationError, match="no mapping that describes an agent"):
        ask_agent(3)


def test_a_graph_asks_in_parallel_and_keeps_things_in_a_store() -> None:
    class State(TypedDict, total=False):
        objective: str
        said: str

    def fan_out(state: State) -> list[Send]:
        return [Send("ask", {"objective": word}) for word in ("one", "two")]

    def ask(state: State) -> State:
        interrupt(state.get("objective"))
        return {}

    def keep(state: State, *, store: BaseStore) -> State:
        store.put(("kept",), "key", {"value": 1})
        return {"said": str(store.search(("kept",))[0].value)}

    graph = StateGraph(State).add_node("ask", ask).add_node("keep", keep)
    graph.add_conditional_edges(START, fan_out, ["ask"])
    graph.add_edge("ask", "keep").add_edge("keep", END)
    asked = ask_agent(agent(graph.compile()), answers=[True, "two"])
    assert sorted(question.question for question in asked.questions) == ["one", "two"]
    assert asked.facets == {"said": "{'value': 1}"}


def test_agents_work_together() -> None:
    asked = ask_agent(
        "hitl_orchestrator.desk:agents",
        "Announce Acme 2.0.0",
        {"source": "# Acme\n\n## 2.0.0\n\n- It is faster than before.\n"},
        answers=lambda request: request.options[0].id if request.options else False,
        outputs=["drafts"],
    )
    assert "drafts" in asked.facets


def test_frames_are_those_of_a_server(tmp_path: Path) -> None:
    asked = ask_agent(AUDIENCE, "Announce it", answers=["ops"])
    assert [frame["seq"] for frame in asked.frames] == [*range(1, len(asked.frames) + 1)]
    assert [frame["type"] for frame in asked.frames][:3] == ["start", "phase", "plan_update"]
    assert asked.frames[-1]["type"] == "complete"
