"""What an agent is run with: its input, its context and its config; and what it leaves behind."""

import json
from collections.abc import Callable, Mapping
from typing import Any, cast

from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.graph.state import CompiledStateGraph

from hitl_agent.bare import OBJECTIVE, Graph, list_channels, list_said
from hitl_agent.describing import Agent, Task
from hitl_agent.plain import make_plain

_OURS = {"thread_id", "checkpoint_ns", "checkpoint_id", "checkpoint_map"}  # of `configurable`


class Unfit(Exception):
    """What a mapping's own functions made that is no use; to try again will not help."""


def build_input(agent: Agent, graph: Graph, task: Task) -> Any:
    """Return what the agent begins with."""
    if agent.input is not None:
        return _call("input", agent.input, task)
    if not isinstance(graph, CompiledStateGraph):
        return task
    channels = list_channels(graph)
    given = {name: value for name, value in task.items() if name in channels}
    messages = {"messages": [HumanMessage(_word(task))]} if "messages" in channels else {}
    return {**given, **messages}


def build_context(agent: Agent, graph: Graph, task: Task) -> Any:
    """Return the runtime context; of a graph whose context has defaults only, those."""
    if agent.context is not None:
        return _call("context", agent.context, task)
    return {} if isinstance(graph.context_schema, type) else None


def build_config(agent: Agent, task: Task, thread_id: str) -> RunnableConfig:
    """Return the agent's own config, at the thread. `configurable.metadata` is the run's."""
    own: Any = _call("config", agent.config, task) if agent.config else {}
    if not isinstance(own, Mapping):
        raise Unfit(f"The mapping's `config` returned {type(own).__name__}, not a mapping")
    given = cast("Mapping[str, Any]", own)
    configurable: Mapping[str, Any] = given.get("configurable") or {}
    if taken := [key for key in configurable if key in _OURS or key.startswith("__")]:
        raise Unfit(f"The mapping's `config` may not set {', '.join(taken)}")
    whole = {"metadata": task.get("metadata"), **configurable, "thread_id": thread_id}
    return cast(RunnableConfig, {**given, "configurable": whole})


def find_output(agent: Agent, values: Any) -> dict[str, Any]:
    """Return the facets in its final state, as JSON, and its `warnings`."""
    made: Any = agent.output(values) if agent.output is not None else values
    if agent.output is None and isinstance(agent.run, CompiledStateGraph):
        made = _find_in_state(agent, values)
    if made is None:
        made = {}
    if not isinstance(made, Mapping):
        raise Unfit(
            f"What it returned is of type {type(made).__name__}, not a mapping of its output facets"
        )
    return make_plain("What it made", cast(object, made))


def _find_in_state(agent: Agent, values: Any) -> Any:
    if not isinstance(values, Mapping):
        return values
    state = cast("Mapping[str, Any]", values)
    found = {name: state[name] for name in agent.facets if name in state}
    if not found and len(agent.facets) == 1:
        said = list_said(state)
        is_text = agent.schemas.get(agent.facets[0], {}).get("type") == "string"
        if said:
            found = {agent.facets[0]: said[-1 if is_text else 0]}
    return {name: state[name] for name in ("warnings",) if name in state} | found


def _word(task: Task) -> str:
    """Return it as a person would say it: the objective, and what there is besides."""
    given: Mapping[str, Any] = task["facets"]
    facets = {name: value for name, value in given.items() if name != OBJECTIVE}
    if not facets:
        return str(task[OBJECTIVE])
    return f"{task[OBJECTIVE]}\n\n{json.dumps(facets, ensure_ascii=False, indent=2)}"


def _call(key: str, build: Callable[[Task], Any], task: Task) -> Any:
    try:
        return build(task)
    except Exception as error:  # foreign code: what it raises is the reason
        raise Unfit(f"The mapping's `{key}` raised {type(error).__name__}: {error}") from error
