"""What the `run` of a mapping may be: a graph, a function, or another Runnable."""

import inspect
from collections.abc import Callable
from typing import Any, cast

from langchain_core.messages import BaseMessage
from langchain_core.runnables import Runnable
from langgraph.config import get_config
from langgraph.graph import StateGraph
from langgraph.pregel import Pregel
from langgraph.runtime import Runtime

from hitl_orchestrator.nodes.loading import describe

AgentGraph = Pregel[Any, Any, Any, Any]
AgentRun = AgentGraph | Callable[..., Any]  # a function, sync or async

INJECTED = ("config", "runtime", "store", "writer")  # what a function may name beside its task
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class NotAnAgent(Exception):
    """Why a mapping describes no agent."""


def read_run(run: object) -> AgentRun:
    """Return it as what can be run. Raise NotAnAgent."""
    if isinstance(run, StateGraph):
        return compile_graph(cast("StateGraph[Any]", run))
    if isinstance(run, Pregel):
        return cast(AgentGraph, run)
    if isinstance(run, Runnable):
        return _call_runnable(cast("Runnable[Any, Any]", run))
    if not callable(run):
        raise NotAnAgent(
            "`run` must be a function, a compiled LangGraph graph or a StateGraph,"
            f" not {type(run).__name__}"
        )
    _check_function(run)
    return run


def compile_graph(graph: "StateGraph[Any]") -> AgentGraph:
    """Return it compiled. Raise NotAnAgent."""
    try:
        return cast(AgentGraph, graph.compile())
    except Exception as error:  # foreign code: what it raises is the reason
        raise NotAnAgent(f"`run` is a graph that does not compile: {describe(error)}") from error


def find_injected(run: Callable[..., Any], runtime: Runtime[Any]) -> dict[str, Any]:
    """Return what the function names of what LangGraph hands to a node."""
    known = {
        "config": get_config(),
        "runtime": runtime,
        "store": runtime.store,
        "writer": runtime.stream_writer,
    }
    return {one.name: known[one.name] for one in _list_others(run) if one.name in known}


def _check_function(run: Callable[..., Any]) -> None:
    for one in (run, getattr(run, "__call__", None)):  # noqa: B004  # an object's own
        if inspect.isgeneratorfunction(one) or inspect.isasyncgenfunction(one):
            raise NotAnAgent(
                "`run` is a generator: nobody would take what it yields."
                " Let it return its facets, and tell its progress by get_stream_writer()"
            )
    try:
        parameters = [*inspect.signature(run).parameters.values()]
    except (TypeError, ValueError):  # of a builtin nothing is known
        return
    if not parameters or parameters[0].kind is inspect.Parameter.KEYWORD_ONLY:
        raise NotAnAgent("`run` takes no argument; it is called with the task")
    unknown = [one.name for one in _list_others(run) if _is_needed(one)]
    if unknown:
        raise NotAnAgent(
            f"`run` needs {', '.join(unknown)}; it is called with the task,"
            f" and with what it names of {', '.join(INJECTED)}"
        )


def _list_others(run: Callable[..., Any]) -> list[inspect.Parameter]:
    """Return its parameters beside the first one."""
    try:
        return [*inspect.signature(run).parameters.values()][1:]
    except (TypeError, ValueError):
        return []


def _is_needed(one: inspect.Parameter) -> bool:
    has_default = one.default is not inspect.Parameter.empty
    return not has_default and one.kind not in _VARIADIC and one.name not in INJECTED


def _call_runnable(runnable: "Runnable[Any, Any]") -> Callable[..., Any]:
    async def invoke(task: Any) -> object:
        made: object = await runnable.ainvoke(task)
        return made.text if isinstance(made, BaseMessage) else made

    invoke.__qualname__ = type(runnable).__qualname__  # its fingerprint
    return invoke
