"""A graph without a mapping: what its mapping would say.

Its id is its name, it takes the objective, and it makes one facet named after it.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast, get_type_hints

from langgraph.constants import START
from langgraph.graph.state import CompiledStateGraph

from hitl_orchestrator.domain.capability import OBJECTIVE
from hitl_orchestrator.domain.records import JsonObject
from hitl_orchestrator.nodes.plain import list_said
from hitl_orchestrator.nodes.run_kinds import AgentGraph, NotAnAgent
from hitl_orchestrator.nodes.surroundings import list_required

_NAMELESS = "LangGraph"  # the name of a graph that was given none
_NOT_OF_AN_ID = re.compile(r"[^A-Za-z0-9_.\-]+")
# what is written for a person goes there, if neither `objective` nor `messages` is a channel
_FOR_WORDS = ("input", "question", "query", "prompt", "task", "request", "topic", "text")


def describe_graph(graph: AgentGraph, name: str | None) -> dict[str, Any]:
    """Return a mapping for it. `name`: what it is called; None: by its own name.

    Raise NotAnAgent where nothing says what it is to be called, or where the objective goes.
    """
    given = name or name_graph(graph)
    if not given:
        raise NotAnAgent("a graph in a list needs a name, as in compile(name=…), or a mapping")
    id_ = _NOT_OF_AN_ID.sub("_", given)
    return {
        "capabilityId": id_,
        "displayName": given,
        "outputFacets": (id_,),
        "run": graph,
        **_describe_input(graph),
        "output": _find_output(graph, id_),
    }


def name_graph(graph: AgentGraph) -> str | None:
    """Return the name that it was given; None: none."""
    return None if graph.get_name() == _NAMELESS else graph.get_name()


def take_whole(facet: str) -> Callable[[Any], Any]:
    """Return what finds a facet in what was returned: under its name, or all of it."""

    def find(made: Any) -> Any:
        values = cast(Mapping[str, Any], made if isinstance(made, Mapping) else {})
        return {facet: values.get(facet, made)}

    return find


def _describe_input(graph: AgentGraph) -> dict[str, Any]:
    """Return which facets it takes, and how it is given them."""
    objective = {"inputFacets": (OBJECTIVE,)}
    if not isinstance(graph, CompiledStateGraph):
        start = cast(Mapping[str, object], graph.channels)[START]
        takes_text = getattr(start, "typ", None) is str
        return {**objective, "input": _give_text if takes_text else None}
    schema = graph.builder.input_schema
    channels = [*cast(Mapping[str, object], graph.builder.schemas[schema])]
    if OBJECTIVE in channels or "messages" in channels:
        return objective
    if channel := _find_text(schema, channels):
        return {**objective, "input": _give_text_as(channel)}
    if len(channels) != 1 and schema is graph.builder.state_schema:
        raise _build_refusal(channels)  # some of them are what it makes
    required = [one for one in channels if one in list_required(schema)]
    return {
        "inputFacets": required,
        "optionalInputFacets": [one for one in channels if one not in required],
        "input": _give_facets(channels),
    }


def _give_text(task: JsonObject) -> Any:
    return task[OBJECTIVE]


def _give_text_as(channel: str) -> Callable[[JsonObject], Any]:
    return lambda task: {channel: task[OBJECTIVE]}


def _give_facets(channels: Sequence[str]) -> Callable[[JsonObject], Any]:
    def give(task: JsonObject) -> Any:
        facets = cast(JsonObject, task["facets"])
        return {one: facets[one] for one in channels if one in facets}

    return give


def _find_text(schema: type, channels: Sequence[str]) -> str | None:
    """Return where the objective goes; None: nothing says it."""
    try:
        hints = get_type_hints(schema)
    except (NameError, TypeError):  # LangGraph reads it its own way
        hints = dict[str, object]()
    texts = [one for one in channels if hints.get(one) in (str, str | None)]
    named = [one for one in _FOR_WORDS if one in texts]
    return named[0] if named else _take_only(texts)


def _take_only(texts: Sequence[str]) -> str | None:
    return texts[0] if len(texts) == 1 else None


def _build_refusal(channels: Sequence[str]) -> NotAnAgent:
    return NotAnAgent(
        f"nothing says which of {', '.join(channels) or 'no channels'} is given the objective:"
        ' plug it in by a mapping with an `input`, as {"capabilityId": …, "displayName": …,'
        ' "outputFacets": […], "run": graph, "input": lambda task: {…: task["objective"]}}'
    )


def _find_output(graph: AgentGraph, facet: str) -> Callable[[Any], Any]:
    """Return how the facet is found in a final state.

    Under its name, else what it said, else all of its output.
    """
    whole = take_whole(facet)
    if not isinstance(graph, CompiledStateGraph):
        return whole

    def find(values: Any) -> Any:
        state = cast(Mapping[str, Any], values)
        said = [] if facet in state else [one for one in list_said(state) if one != ""]
        return {facet: said[0]} if said else whole(_select_output(graph, state))

    return find


def _select_output(graph: AgentGraph, state: Mapping[str, Any]) -> Any:
    channels = graph.output_channels
    if isinstance(channels, str):
        return state.get(channels)
    return {name: state[name] for name in channels if name in state}
