"""A graph without a mapping: what its mapping would say.

Its id is its name, it takes the objective, and it makes one facet named after it.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, cast, get_type_hints

from langchain_core.messages import BaseMessage
from langgraph.constants import START
from langgraph.graph.state import CompiledStateGraph
from langgraph.pregel import Pregel

OBJECTIVE = "objective"
_NAMELESS = "LangGraph"  # the name of a graph that was given none
_NOT_OF_AN_ID = re.compile(r"[^A-Za-z0-9_.\-]+")
# what is written for a person goes there, if neither `objective` nor `messages` is a channel
_FOR_WORDS = ("input", "question", "query", "prompt", "task", "request", "topic", "text")

_TEXTS = (str, str | None)
Graph = Pregel[Any, Any, Any, Any]


class NotAnAgent(Exception):
    """Why something describes no agent."""


def name_graph(graph: Graph, variable: str) -> str:
    """Return the name that it was given; else that of the variable."""
    return variable if graph.get_name() == _NAMELESS else graph.get_name()


def describe_graph(graph: Graph, name: str) -> dict[str, Any]:
    """Return a mapping for it. Raise NotAnAgent where nothing says where the objective goes."""
    id_ = _NOT_OF_AN_ID.sub("_", name)
    return {
        "capabilityId": id_,
        "displayName": name,
        "outputFacets": [id_],
        "run": graph,
        **_describe_input(graph),
        "output": _find_output(graph, id_),
    }


def take_whole(facet: str) -> Callable[[Any], Any]:
    """Return what finds a facet in what was returned: under its name, or all of it."""

    def find(made: Any) -> Any:
        values = cast("Mapping[str, Any]", made if isinstance(made, Mapping) else {})
        return {facet: values.get(facet, made)}

    return find


def list_said(state: Mapping[str, Any]) -> list[Any]:
    """Return the structured response and the text of the last message, as far as there are any."""
    messages: Any = state.get("messages") or [None]
    text = read_text(messages[-1]) if isinstance(messages[-1], BaseMessage) else None
    said: list[Any] = [state.get("structured_response"), text]
    return [one for one in said if one is not None]


def read_text(message: BaseMessage) -> str:
    """Return what it says; older versions have a method of that name."""
    text: Any = message.text
    return text if isinstance(text, str) else str(text())


def list_channels(graph: CompiledStateGraph[Any, Any, Any, Any]) -> list[str]:
    """Return those of its input."""
    return [*cast("Mapping[str, object]", graph.builder.schemas[graph.builder.input_schema])]


def list_required(schema: type[Any]) -> list[str]:
    """Return the fields that have no default."""
    if hasattr(schema, "__required_keys__"):  # of a TypedDict
        return sorted(schema.__required_keys__)
    if is_dataclass(schema):
        return [
            one.name
            for one in fields(schema)
            if one.init and one.default is MISSING and one.default_factory is MISSING
        ]
    known: Mapping[str, Any] = getattr(schema, "model_fields", {})  # of a Pydantic class
    return [name for name, one in known.items() if one.is_required()]


def _describe_input(graph: Graph) -> dict[str, Any]:
    """Return which facets it takes, and how it is given them."""
    objective = {"inputFacets": [OBJECTIVE]}
    if not isinstance(graph, CompiledStateGraph):
        start = cast("Mapping[str, object]", graph.channels)[START]
        takes_text = getattr(start, "typ", None) is str
        return {**objective, "input": _give_objective if takes_text else None}
    schema = graph.builder.input_schema
    channels = list_channels(graph)
    if OBJECTIVE in channels or "messages" in channels:
        return objective
    if channel := _find_text(schema, channels):
        return {**objective, "input": _give_objective_as(channel)}
    if len(channels) != 1 and schema is graph.builder.state_schema:
        raise _build_refusal(channels)  # some of them are what it makes
    required = [one for one in channels if one in list_required(schema)]
    return {
        "inputFacets": required,
        "optionalInputFacets": [one for one in channels if one not in required],
        "input": _give_facets(channels),
    }


def _give_objective(task: Mapping[str, Any]) -> Any:
    return task[OBJECTIVE]


def _give_objective_as(channel: str) -> Callable[[Mapping[str, Any]], Any]:
    return lambda task: {channel: task[OBJECTIVE]}


def _give_facets(channels: Sequence[str]) -> Callable[[Mapping[str, Any]], Any]:
    def give(task: Mapping[str, Any]) -> Any:
        facets: Mapping[str, Any] = task["facets"]
        return {one: facets[one] for one in channels if one in facets}

    return give


def _find_text(schema: type[Any], channels: Sequence[str]) -> str | None:
    """Return where the objective goes; None: nothing says it."""
    try:
        hints = get_type_hints(schema)
    except (NameError, TypeError):  # LangGraph reads it its own way
        hints = dict[str, Any]()
    texts = [one for one in channels if hints.get(one) in _TEXTS]
    named = [one for one in _FOR_WORDS if one in texts]
    return named[0] if named else _take_only(texts)


def _take_only(texts: Sequence[str]) -> str | None:
    return texts[0] if len(texts) == 1 else None


def _find_output(graph: Graph, facet: str) -> Callable[[Any], Any]:
    """Return how the facet is found in a final state.

    Under its name, else what it said, else all of its output.
    """
    whole = take_whole(facet)
    if not isinstance(graph, CompiledStateGraph):
        return whole

    def find(values: Any) -> Any:
        state = cast("Mapping[str, Any]", values)
        said = [] if facet in state else [one for one in list_said(state) if one != ""]
        return {facet: said[0]} if said else whole(_select_output(graph, state))

    return find


def _select_output(graph: Graph, state: Mapping[str, Any]) -> Any:
    channels: str | Sequence[str] = graph.output_channels
    if isinstance(channels, str):
        return state.get(channels)
    return {name: state[name] for name in channels if name in state}


def _build_refusal(channels: Sequence[str]) -> NotAnAgent:
    return NotAnAgent(
        f"nothing says which of {', '.join(channels) or 'no channels'} is given the objective:"
        ' describe it by a mapping with an `input`, as {"capabilityId": …, "displayName": …,'
        ' "outputFacets": […], "run": graph, "input": lambda task: {…: task["objective"]}}'
    )
