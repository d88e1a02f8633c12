"""A mapping becomes an agent, or stops the start with one line that names it and what is wrong."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from langgraph.graph import END, START, StateGraph
from langgraph.pregel import Pregel
from typing_extensions import TypedDict

from hitl_orchestrator.domain.capability import Capability, Retries
from hitl_orchestrator.domain.errors import ConfigurationError
from hitl_orchestrator.domain.planning import Unreachable, chain
from hitl_orchestrator.nodes.agents import (
    Agent,
    build_catalogue,
    build_registry,
    load_agents,
    read_agent,
)

AGENTS = Path(__file__).parent / "agents"
EVERY_FILE = (
    *("forbidden", "function", "hangs", "inbox", "nonsense", "parallel"),
    *("raises", "subgraph", "tool_agent", "two_questions", "typed", "workflow"),
)


class State(TypedDict, total=False):
    brief: str


async def run(task: dict[str, Any]) -> dict[str, Any]:
    return {}


def mapping(**changes: Any) -> dict[str, Any]:
    """A good one, changed; None leaves a key out."""
    good = {
        "capabilityId": "briefing",
        "displayName": "Briefing",
        "inputFacets": ["objective"],
        "outputFacets": ["brief"],
        "run": run,
    }
    return {key: value for key, value in {**good, **changes}.items() if value is not None}


def graph() -> StateGraph[State]:
    def write(state: State) -> State:
        return {"brief": "done"}

    return (
        StateGraph(State).add_node("write", write).add_edge(START, "write").add_edge("write", END)
    )


def around(inner: Pregel[Any, Any, Any, Any]) -> StateGraph[State]:
    return (
        StateGraph(State).add_node("inner", inner).add_edge(START, "inner").add_edge("inner", END)
    )


def load_agent(entry: str, settings: object = None) -> Agent:
    [agent] = load_agents([entry], settings)
    return agent


def failure(act: Callable[[], object]) -> str:
    with pytest.raises(ConfigurationError) as raised:
        act()
    assert "\n" not in raised.value.detail
    return raised.value.detail


# The mapping


def test_a_small_mapping_is_enough() -> None:
    agent = read_agent(mapping(), "here")
    assert (
        agent.capability.capabilityId,
        agent.capability.summary,
        agent.capability.timeoutSeconds,
    ) == ("briefing", "", 600)
    assert (agent.run, agent.input, agent.output) == (run, None, None)


def test_a_mapping_with_everything() -> None:
    schema = {"type": "string"}
    agent = read_agent(
        mapping(
            summary="Briefs.",
            optionalInputFacets=["audience"],
            reworks=["brief"],
            timeoutSeconds=5,
            retries={"attempts": 3, "seconds": 0.5},
            facets={"brief": schema, "audience": schema},
            input=dict,
            output=dict,
        ),
        "here",
    )
    assert (
        agent.capability.timeoutSeconds,
        agent.capability.retries,
        agent.capability.reworks,
        agent.input,
        agent.output,
    ) == (5, Retries(attempts=3, seconds=0.5), ("brief",), dict, dict)
    assert agent.capability.contract.output == {
        "type": "object",
        "properties": {"brief": schema},
        "required": ["brief"],
    }
    assert agent.capability.contract.input["required"] == ["objective"]


@pytest.mark.parametrize(
    "runs",
    [
        lambda: graph(),
        lambda: graph().compile(),
        lambda: graph().compile(interrupt_before=["write"], interrupt_after="*"),
        lambda: around(graph().compile(interrupt_before=["write"])).compile(),
    ],
)
def test_run_may_be_a_graph(runs: Callable[[], Any]) -> None:
    assert isinstance(read_agent(mapping(run=runs()), "here").run, Pregel)


@pytest.mark.parametrize("called", [run, partial(run), dict])
def test_run_may_be_whatever_is_called(called: Any) -> None:
    assert read_agent(mapping(run=called), "here").run is called


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"capabilityId": None}, "`capabilityId`: Field required"),
        ({"capabilityId": "two words"}, "`capabilityId`: String should match"),
        ({"displayName": None}, "`displayName`: Field required"),
        ({"displayName": 5}, "`displayName`: Input should be a valid string"),
        ({"outputFacets": None}, "`outputFacets`: Field required"),
        ({"outputFacets": []}, "`outputFacets`: Tuple should have at least 1 item"),
        ({"outputFacets": 5}, "`outputFacets`: Input should be a valid tuple"),
        ({"inputFacets": ["__start__"]}, "`inputFacets.0`: String should match"),
        ({"inputFacets": ["a", "a"]}, "the facet a is named twice"),
        ({"inputFacets": ["a"], "optionalInputFacets": ["a"]}, "the facet a is named twice"),
        ({"outputFacets": ["b", "b"]}, "the facet b is named twice"),
        ({"retries": 3}, "`retries`: Input should be a valid dictionary"),
        ({"retries": {"attempts": 3}}, "`retries.seconds`: Field required"),
        (
            {"retries": {"attempts": 0, "seconds": 1}},
            "`retries.attempts`: Input should be greater than or equal to 1",
        ),
        (
            {"retries": {"attempts": 1, "seconds": -1}},
            "`retries.seconds`: Input should be greater than or equal to 0",
        ),
        ({"timeoutSeconds": 0}, "`timeoutSeconds`: Input should be greater than 0"),
        ({"timeoutSeconds": "soon"}, "`timeoutSeconds`: Input should be a valid number"),
        ({"facets": {"brief": {"type": "strin"}}}, "`facets.brief` is not a JSON Schema"),
        ({"facets": {"brief": "string"}}, "`facets.brief`: Input should be"),
        ({"facets": ["brief"]}, "`facets`: Input should be"),
        (
            {"run": None},
            "`run` must be a function, a compiled LangGraph graph or a StateGraph, not NoneType",
        ),
        (
            {"run": "run"},
            "`run` must be a function, a compiled LangGraph graph or a StateGraph, not str",
        ),
        ({"run": StateGraph(State)}, "`run` is a graph that does not compile: ValueError"),
        ({"input": "task"}, "`input` must be a function, not str"),
        ({"output": 5}, "`output` must be a function, not int"),
        (
            {"inputFacet": ["objective"]},
            "unknown key inputFacet; known are answer, ask, capabilityId, config, context, denied",
        ),
        ({"contract": {"input": {}, "output": {}}}, "unknown key contract"),
    ],
)
def test_what_does_not_fit_is_named(changes: dict[str, Any], reason: str) -> None:
    detail = failure(lambda: read_agent(mapping(**changes), "here"))
    assert detail.startswith("here: ")
    assert reason in detail


def test_what_is_no_mapping_is_named() -> None:
    assert (
        failure(lambda: read_agent(run, "here"))
        == "here is no mapping that describes an agent, but of type function"
    )


# Where it is found


@pytest.mark.parametrize("name", EVERY_FILE)
def test_strangers_agents_are_loaded(name: str) -> None:
    assert load_agent(f"{AGENTS / name}.py:agent").capability.displayName


def test_all_agents_of_strangers_can_work_side_by_side() -> None:
    assert len(
        build_registry([load_agent(f"{AGENTS / name}.py:agent") for name in EVERY_FILE])
    ) == len(EVERY_FILE)


# All together


def test_an_agent_may_use_a_facet_that_another_defines() -> None:
    schema = {"type": "object"}
    reader = read_agent(
        mapping(capabilityId="reader", inputFacets=["brief"], outputFacets=["letter"]), "here"
    )
    writer = read_agent(mapping(capabilityId="writer", facets={"brief": schema}), "here")
    assert build_registry([reader, writer])["reader"].contract.input["properties"] == {
        "brief": schema
    }
    assert build_catalogue([reader, writer])["reader"].schemas == {"brief": schema}
    assert [*build_registry([reader, writer])] == ["reader", "writer"]


def test_two_agents_of_one_name_are_refused() -> None:
    agents = [read_agent(mapping(), "here"), read_agent(mapping(), "there")]
    assert failure(lambda: build_registry(agents)) == "Two agents have the capabilityId briefing"


def test_two_schemas_of_one_facet_are_each_held_to_and_never_meet_in_a_plan() -> None:
    ours = read_agent(mapping(capabilityId="ours", facets={"brief": {"type": "object"}}), "here")
    theirs = read_agent(
        mapping(capabilityId="theirs", facets={"brief": {"type": "string"}}), "there"
    )
    takes = {
        "inputFacets": ["brief"],
        "outputFacets": ["post"],
        "facets": {"brief": {"type": "string"}},
    }
    writer = read_agent(mapping(capabilityId="writer", **takes), "there")
    known = build_catalogue([ours, theirs, writer])
    assert [known[name].schemas["brief"] for name in known] == [
        {"type": "object"},
        {"type": "string"},
        {"type": "string"},
    ]
    capabilities = [agent.capability for agent in known.values()]
    assert ids(chain(capabilities, ["brief"], ["objective"])) == ["ours"]
    assert ids(chain(capabilities, ["post"], ["objective"])) == ["theirs", "writer"]
    assert ids(chain([capabilities[0], capabilities[2]], ["post"], ["objective"])) == Unreachable(
        ("post",)
    )


def ids(chosen: list[Capability] | Unreachable) -> list[str] | Unreachable:
    return (
        chosen
        if isinstance(chosen, Unreachable)
        else [capability.capabilityId for capability in chosen]
    )


@pytest.mark.parametrize("name", ["planner", "guard", "plan", "facets"])
def test_a_name_of_the_orchestrators_own_graph_is_refused(name: str) -> None:
    assert name in failure(lambda: build_registry([read_agent(mapping(capabilityId=name), "here")]))
