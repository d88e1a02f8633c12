"""What describes an agent in a process of its own, and what stops the start."""

from dataclasses import dataclass
from datetime import date
from enum import Enum
from pathlib import PurePosixPath
from typing import Any, TypedDict, cast

import pytest
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableLambda
from langgraph.func import entrypoint
from langgraph.graph import START, MessagesState, StateGraph
from pydantic import BaseModel

from hitl_agent.bare import NotAnAgent
from hitl_agent.describing import read_agent
from hitl_agent.plain import NotPlain, cut_line, make_plain


def run(task: Any) -> Any:
    return {}


MAPPING = {
    "capabilityId": "mail.clerk",
    "displayName": "Mail clerk",
    "outputFacets": ["mail"],
    "run": run,
}


class Mail(BaseModel):
    to: str


def test_the_server_is_told_what_it_needs() -> None:
    agent = read_agent(
        {
            **MAPPING,
            "summary": "Writes mails",
            "inputFacets": "objective",
            "facets": {"mail": Mail},
            "retries": {"attempts": 2, "seconds": 5},
            "timeoutSeconds": 30,
            "denied": False,
            "context": {"secret": "kept"},
        },
        "name",
    )
    assert agent.registration == {
        "displayName": "Mail clerk",
        "summary": "Writes mails",
        "inputFacets": ["objective"],
        "optionalInputFacets": [],
        "outputFacets": ["mail"],
        "reworks": [],
        "facets": {"mail": Mail.model_json_schema()},
        "retries": {"attempts": 2, "seconds": 5},
        "timeoutSeconds": 30,
        "canRefuse": True,
    }
    assert agent.denied is not None
    assert agent.denied("why") is False
    assert not read_agent(MAPPING, "name").registration["canRefuse"]


class Needy(TypedDict):
    key: str


def needs_context() -> Any:
    graph = StateGraph(MessagesState, context_schema=Needy)
    graph.add_node("node", cast(Any, run))
    graph.add_edge(START, "node")
    return graph.compile()


def generate(task: Any) -> Any:
    yield task


def needs_more(task: Any, more: Any) -> None: ...


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"colour": "red"}, "unknown key colour; known are capabilityId"),
        ({"ask": run}, "hand `interrupt()` what is to be asked"),
        ({"answer": run}, "hand `interrupt()` what is to be asked"),
        ({"url": "http://localhost"}, "at the server"),
        ({"capabilityId": "1st"}, "`capabilityId` must be"),
        ({"capabilityId": None}, "`capabilityId` is missing"),
        ({"displayName": ""}, "`displayName` is missing"),
        ({"outputFacets": []}, "`outputFacets` is missing"),
        ({"outputFacets": [3]}, "`outputFacets` must be a list of texts"),
        ({"inputFacets": {"a": 1}}, "`inputFacets` must be a list of texts"),
        ({"facets": ["mail"]}, "`facets` must be a mapping"),
        ({"facets": {"mail": str}}, "`facets.mail` must be a JSON Schema or a Pydantic class"),
        ({"summary": object()}, "which is no JSON"),
        ({"run": None}, "`run` is missing"),
        ({"run": 3}, "`run` must be a function or a LangGraph graph"),
        ({"run": generate}, "a generator"),
        ({"run": lambda: None}, "takes no argument"),
        ({"run": needs_more}, "`run` needs more"),
        ({"run": StateGraph(MessagesState)}, "does not compile"),
        ({"run": needs_context()}, "needs key: give a `context`"),
        ({"input": 3}, "`input` must be a function"),
        ({"output": "mail"}, "`output` must be a function"),
        ({"store": {}}, "`store` must be a LangGraph store"),
        ({"stream": ["tokens"]}, "`stream` must be a list of custom"),
    ],
)
def test_what_stops_the_start(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(NotAnAgent) as caught:
        read_agent({**MAPPING, **changes}, "name")
    assert reason in str(caught.value)


@entrypoint()
def workflow(given: str) -> str:
    return given


def build(state: Any, input_: Any = None) -> Any:
    graph = StateGraph(state, input_schema=input_)
    graph.add_node("node", cast(Any, run))
    graph.add_edge(START, "node")
    return graph.compile()


class Asked(TypedDict):
    question: str
    answer: str


class Texts(TypedDict):
    one: str
    other: str


class Facts(TypedDict, total=False):
    facts: list[str]


TASK = {"objective": "Why?", "facets": {"facts": ["a"]}}


@pytest.mark.parametrize(
    ("graph", "inputs", "optional", "begun"),
    [
        (build(MessagesState), ["objective"], [], None),
        (build(Asked), ["objective"], [], {"question": "Why?"}),
        (build(Asked, Facts), [], ["facts"], {"facts": ["a"]}),
        (cast(Any, workflow), ["objective"], [], "Why?"),
    ],
)
def test_a_graph_stands_for_itself(
    graph: Any, inputs: list[str], optional: list[str], begun: object
) -> None:
    agent = read_agent(graph, "mail clerk")
    assert (agent.id, agent.registration["displayName"]) == ("mail_clerk", "mail clerk")
    assert agent.registration["outputFacets"] == ["mail_clerk"]
    assert agent.registration["inputFacets"] == inputs
    assert agent.registration["optionalInputFacets"] == optional
    assert (agent.input(TASK) if agent.input else None) == begun


def test_a_graph_whose_input_nothing_tells_is_refused() -> None:
    with pytest.raises(NotAnAgent, match="nothing says which of one, other"):
        read_agent(build(Texts), "name")


def test_what_a_graph_made_is_one_facet() -> None:
    agent = read_agent(build(MessagesState), "said")
    assert agent.output is not None
    assert agent.output({"messages": [HumanMessage("the end")]}) == {"said": "the end"}
    assert agent.output({"messages": []}) == {"said": {"messages": []}}


def test_a_chain_makes_one_facet_too() -> None:
    agent = read_agent({**MAPPING, "run": RunnableLambda(run)}, "name")
    assert agent.output is not None
    assert agent.output("Dear Ann") == {"mail": "Dear Ann"}


class Colour(Enum):
    RED = "red"


@dataclass
class Point:
    x: int
    where: PurePosixPath


def test_what_is_handed_over_becomes_json() -> None:
    given = {
        1: (Colour.RED, date(2026, 1, 2)),
        "point": Point(1, PurePosixPath("a/b")),
        "mail": Mail(to="ann"),
        "set": {3},
        "nothing": None,
    }
    assert make_plain("It", given) == {
        "1": ["red", "2026-01-02"],
        "point": {"x": 1, "where": "a/b"},
        "mail": {"to": "ann"},
        "set": [3],
        "nothing": None,
    }
    assert make_plain("It", HumanMessage("hello"))["content"] == "hello"


def endless() -> Any:
    made: list[Any] = []
    made.append(made)
    return made


@pytest.mark.parametrize("value", [object(), float("nan"), {(1, 2): 3}, endless(), Mail, b"\xff"])
def test_what_is_no_json_is_named(value: object) -> None:
    with pytest.raises(NotPlain, match=r"^It holds"):
        make_plain("It", value)


def test_a_line_is_cut() -> None:
    assert cut_line("x" * 3000) == "x" * 2000
    assert len(cut_line(["x" * 5000])) == 2000
    assert cut_line({"a": 1}) == {"a": 1}
