"""A `langgraph.json`: the graphs of a repository by name, as LangGraph's own tools find them."""

import inspect
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from dotenv import dotenv_values
from langgraph.graph import StateGraph
from langgraph.pregel import Pregel


def find_graph(file: Path, name: str) -> tuple[str, list[Path]]:
    """Return where a graph is, as `module:name` or `file.py:name`, and what is importable there.

    What its `env` says is put into the environment, where it does not say otherwise. Raise
    ValueError or OSError.
    """
    described = _read(file)
    graphs = _read_object(described.get("graphs"))
    if not graphs:
        raise ValueError("it names no `graphs`")
    if name not in graphs:
        raise ValueError(f"it has no graph {name}; there are {', '.join(graphs)}")
    found = graphs[name]
    place = found if isinstance(found, str) else _read_object(found).get("path")
    if not isinstance(place, str) or ":" not in place:
        raise ValueError(f"its graph {name} is no `path/to/file.py:name`")
    path, _, variable = place.rpartition(":")
    if path.endswith((".js", ".ts", ".mjs", ".mts", ".cjs", ".cts", ".tsx", ".jsx")):
        raise ValueError(
            f"its graph {name} is not Python: run it behind LangGraph's own API (docs/agents.md)"
        )
    folder = file.resolve().parent
    _set_environment(described.get("env"), folder)
    place = f"{folder / path if path.endswith('.py') else path}:{variable}"
    return place, [folder, *_list_local(described, folder)]


def make_graph(found: object) -> object:
    """Return the graph; of a function that makes one, what it returns. Raise TypeError."""
    if isinstance(found, Pregel | StateGraph) or not callable(found):
        return cast(object, found)
    make: Callable[..., object] = found
    if inspect.iscoroutinefunction(make) or inspect.isasyncgenfunction(make):
        raise TypeError("it is made by an async function; name the graph itself")
    needed = [
        one
        for one in inspect.signature(make).parameters.values()
        if one.default is one.empty and one.kind is one.POSITIONAL_OR_KEYWORD
    ]
    if len(needed) > 1:
        raise TypeError("it is made by a function of more than a config; name the graph itself")
    made = make({"configurable": {}}) if needed else make()
    if not isinstance(made, Pregel | StateGraph):
        raise TypeError(f"its function returned {type(made).__name__}, not a graph")
    return cast(object, made)


def _read(file: Path) -> Mapping[str, Any]:
    described = json.loads(file.read_text("utf-8"))
    if not isinstance(described, Mapping):
        raise ValueError("it is no JSON object")
    return cast(Mapping[str, Any], described)


def _read_object(found: object) -> Mapping[str, Any]:
    return cast(Mapping[str, Any], found if isinstance(found, Mapping) else {})


def _list_local(described: Mapping[str, Any], folder: Path) -> list[Path]:
    """Return the folders among its `dependencies`."""
    named = described.get("dependencies")
    listed = cast("list[object]", named) if isinstance(named, list) else []
    return [(folder / one).resolve() for one in listed if isinstance(one, str) and one[:1] == "."]


def _set_environment(env: object, folder: Path) -> None:
    values = dotenv_values(folder / env) if isinstance(env, str) else env
    if not isinstance(values, Mapping):
        return
    for key, value in cast(Mapping[str, object], values).items():
        if value is not None:
            os.environ.setdefault(key, str(value))
