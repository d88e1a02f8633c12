"""The fingerprint of an agent: what of it a paused thread rests on.

Nodes, edges, channels and the types of its state, of its subgraphs too; of a function its name. No
code: an edit of a body changes nothing. Of a graph behind an API its id there.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from functools import partial
from typing import Any, cast, get_args, get_type_hints

from langgraph.graph.state import CompiledStateGraph
from langgraph.pregel import Pregel
from pydantic import BaseModel

from hitl_orchestrator.domain.records import Json, JsonObject
from hitl_orchestrator.nodes.run_kinds import AgentRun, ElsewhereRun, RemoteGraph

LENGTH = 32  # of hexadecimal digits

Graph = Pregel[Any, Any, Any, Any]


def take_fingerprint(run: AgentRun) -> str:
    """Return it. The same in every process that loads the same agent, from wherever."""
    described = json.dumps(_describe(run), sort_keys=True).encode()
    return hashlib.sha256(described).hexdigest()[:LENGTH]


def list_channel_types(graph: Graph) -> dict[str, object]:
    """Return the types that a graph's schemas name for its channels; empty where it has none."""
    if not isinstance(graph, CompiledStateGraph):
        return {}
    types: dict[str, object] = {}
    for schema in cast(Mapping[type, object], graph.builder.schemas):
        types |= _read_hints(schema)
    return types


def name_type(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def find_subgraphs(graph: Graph) -> dict[str, Graph]:
    """Return its subgraphs, at any depth, by their path of node names: `node|node`."""
    found: dict[str, Graph] = {}
    for path, subgraph in cast(Iterable[tuple[str, object]], graph.get_subgraphs(recurse=True)):
        if isinstance(subgraph, Pregel):
            found[path] = cast(Graph, subgraph)
    return found


def _describe(run: object) -> JsonObject:
    if isinstance(run, RemoteGraph):
        return {"remote": run.graph_id}
    if isinstance(run, ElsewhereRun):
        return {"elsewhere": True}
    if not isinstance(run, Pregel):
        return {"function": _name_function(run)}
    graph = cast(Graph, run)
    subgraphs = find_subgraphs(graph)
    return {
        "graph": _describe_graph(graph),
        "subgraphs": {path: _describe_graph(subgraph) for path, subgraph in subgraphs.items()},
    }


def _name_function(run: object) -> str:
    if isinstance(run, partial):
        return _name_function(cast("partial[Any]", run).func)
    return getattr(run, "__qualname__", None) or type(run).__qualname__


def _describe_graph(graph: Graph) -> JsonObject:
    nodes: JsonObject = {name: [*sorted(node.triggers)] for name, node in graph.nodes.items()}
    channels = cast(Mapping[str, object], graph.channels)
    return {
        "nodes": nodes,
        "channels": {name: type(channel).__name__ for name, channel in channels.items()},
        "types": {name: _describe_type(kind) for name, kind in list_channel_types(graph).items()},
        "edges": _list_edges(graph),
    }


def _list_edges(graph: Graph) -> list[Json]:
    if not isinstance(graph, CompiledStateGraph):
        return []
    builder = graph.builder
    edges = [f"{start} -> {end}" for start, end in builder.edges]
    edges += [f"{' + '.join(sorted(starts))} -> {end}" for starts, end in builder.waiting_edges]
    for start, branches in builder.branches.items():
        for branch in branches.values():
            edges.append(f"{start} -> any of {sorted((branch.ends or {}).values())}")
    return [*sorted(edges)]


def _read_hints(schema: type) -> dict[str, object]:
    try:
        return dict(get_type_hints(schema))
    except (NameError, TypeError):  # LangGraph reads it its own way
        return {}


def _describe_type(kind: object) -> Json:
    """Name the classes in it, with the names of their fields: what a checkpoint of them has."""
    if inner := get_args(kind):
        return [_describe_type(one) for one in inner]
    if not isinstance(kind, type):
        return ""
    given = cast("type[Any]", kind)
    if issubclass(given, BaseModel):
        return {name_type(given): [*sorted(given.model_fields)]}
    if is_dataclass(given):
        return {name_type(given): [*sorted(field.name for field in fields(given))]}
    return given.__name__
