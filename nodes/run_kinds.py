"""What an agent runs: a graph, a function, another Runnable, or what is somewhere else."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import urlsplit

from langchain_core.messages import BaseMessage
from langchain_core.runnables import Runnable
from langgraph.config import get_config
from langgraph.graph import StateGraph
from langgraph.pregel import Pregel
from langgraph.runtime import Runtime

from hitl_orchestrator.nodes.loading import describe

AgentGraph = Pregel[Any, Any, Any, Any]


@dataclass(frozen=True)
class RemoteGraph:
    """A graph behind LangGraph's own API. `headers`: of each request, where its secrets are."""

    url: str
    graph_id: str
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)


@dataclass(frozen=True)
class ElsewhereRun:
    """What an agent runs that takes its steps from here, in a process of its own."""


LocalRun = AgentGraph | Callable[..., Any]  # a function, sync or async
AgentRun = LocalRun | RemoteGraph | ElsewhereRun

INJECTED = ("config", "runtime", "store", "writer")  # what a function may name beside its task
REMOTE_KEYS = ("url", "graphId", "headers")
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class NotAnAgent(Exception):
    """Why a mapping describes no agent."""


def take_run(given: dict[str, Any]) -> object:
    """Return what the mapping says it runs, without those keys; raise NotAnAgent."""
    remote = {key: given.pop(key) for key in REMOTE_KEYS if key in given}
    if not remote:
        return given.pop("run", None)
    if "run" in given:
        raise NotAnAgent("it has `run` and `url`: it runs here, or behind an API, not both")
    return _read_remote(remote)


def _read_remote(given: Mapping[str, object]) -> RemoteGraph:
    missing = [key for key in ("url", "graphId") if not given.get(key)]
    if missing:
        raise NotAnAgent(
            f"`{missing[0]}` is missing: a graph behind LangGraph's API has a `url` and a `graphId`"
        )
    url, graph_id, headers = (given.get(key) for key in REMOTE_KEYS)
    if not isinstance(url, str) or not _is_address(url):
        raise NotAnAgent(
            "`url` must be the address of a server, as http://127.0.0.1:2024, without a password"
        )
    if not isinstance(graph_id, str):
        raise NotAnAgent(f"`graphId` must be a text, not {type(graph_id).__name__}")
    return RemoteGraph(url, graph_id, _read_headers(headers))


def _is_address(url: str) -> bool:
    try:
        address = urlsplit(url)
    except ValueError:
        return False
    is_plain = "@" not in address.netloc  # secrets belong in the headers
    return address.scheme in ("http", "https") and bool(address.hostname) and is_plain


def _read_headers(given: object) -> Mapping[str, str]:
    """Return them; none of what is wrong is said, since they hold secrets."""
    if given is None:
        return dict[str, str]()
    if not isinstance(given, Mapping):
        raise NotAnAgent(f"`headers` must be a mapping of texts, not {type(given).__name__}")
    headers = cast(Mapping[object, object], given)
    for text in (*headers.keys(), *headers.values()):
        if not isinstance(text, str) or not text.isascii() or not text.isprintable():
            raise NotAnAgent("`headers` must be texts of one line of ASCII, names and values")
    return cast(Mapping[str, str], headers)


def read_run(run: object) -> LocalRun:
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
