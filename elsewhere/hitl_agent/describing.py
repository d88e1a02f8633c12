"""What an agent is: a mapping, or a graph as it is, checked; and how the server is told of it."""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from langchain_core.messages import BaseMessage
from langchain_core.runnables import Runnable
from langgraph.graph import StateGraph
from langgraph.pregel import Pregel
from langgraph.store.base import BaseStore

from hitl_agent.bare import Graph, NotAnAgent, describe_graph, list_required, read_text, take_whole
from hitl_agent.plain import NotPlain, make_plain

Task = Mapping[str, Any]
INJECTED = ("config", "runtime", "store", "writer")  # what a function may name beside its task

_LISTS = ("inputFacets", "optionalInputFacets", "outputFacets", "reworks")
_TOLD = ("displayName", "summary", *_LISTS, "facets", "timeoutSeconds", "retries")
_FUNCTIONS = ("input", "output")
_VALUES = ("context", "config")  # or a function of the task
_KEYS = {"capabilityId", *_TOLD, "run", *_FUNCTIONS, *_VALUES, "store", "denied", "stream"}
_ID = re.compile(r"[A-Za-z][A-Za-z0-9_.\-]{0,99}")
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


@dataclass(frozen=True)
class Agent:
    """What a mapping says. `registration`: what the server is told, without the home.

    `denied`: what `interrupt()` returns when the answer is no, by the reason. `is_heard`: what it
    says while it works is passed on.
    """

    id: str
    registration: Mapping[str, Any]
    run: Graph | Callable[..., Any]
    input: Callable[[Task], Any] | None = None
    output: Callable[[Any], Any] | None = None
    denied: Callable[[str], Any] | None = None
    context: Callable[[Task], Any] | None = None
    config: Callable[[Task], Any] | None = None
    store: BaseStore | None = None
    is_heard: bool = True
    facets: tuple[str, ...] = ()  # that it makes
    schemas: Mapping[str, Any] = field(default_factory=dict[str, Any])


def read_agent(described: object, name: str) -> Agent:
    """Check the mapping, or the graph that stands for itself. Raise NotAnAgent.

    `name`: of the graph.
    """
    if isinstance(described, Pregel):
        described = describe_graph(cast(Graph, described), name)
    if not isinstance(described, Mapping):
        raise NotAnAgent(f"it is no mapping that describes an agent, but {_type(described)}")
    given = dict(cast("Mapping[str, Any]", described))
    _check_keys(given)
    id_ = given["capabilityId"]
    if not isinstance(id_, str) or not _ID.fullmatch(id_):
        raise NotAnAgent(f"`capabilityId` must be letters, digits, `_`, `.` and `-`, not {id_!r}")
    run = _read_run(given["run"])
    told = _read_told(given)
    _check_context(run, given)
    output = _read_function(given, "output")
    is_chain = isinstance(given["run"], Runnable) and not isinstance(given["run"], Pregel)
    if is_chain and output is None and len(told["outputFacets"]) == 1:
        output = take_whole(told["outputFacets"][0])
    return Agent(
        id=id_,
        registration={**told, "canRefuse": "denied" in given},
        run=run,
        input=_read_function(given, "input"),
        output=output,
        denied=_read_denied(given),
        context=_read_value(given, "context"),
        config=_read_value(given, "config"),
        store=_read_store(given.get("store")),
        is_heard=_read_stream(given.get("stream", ["custom"])),
        facets=tuple(told["outputFacets"]),
        schemas=told["facets"],
    )


def _check_keys(given: Mapping[str, Any]) -> None:
    if asks := [key for key in ("ask", "answer") if key in given]:
        raise NotAnAgent(
            f"`{asks[0]}` is not known here: hand `interrupt()` what is to be asked, as"
            ' {"question": …, "kind": "approval"}, and use what it returns'
        )
    if "url" in given:
        raise NotAnAgent("a graph behind an API (`url`) is plugged in at the server, not here")
    if unknown := [str(key) for key in given if key not in _KEYS]:
        raise NotAnAgent(f"unknown key {', '.join(unknown)}; known are {', '.join(sorted(_KEYS))}")
    for key in ("capabilityId", "displayName", "outputFacets", "run"):
        if not given.get(key):
            raise NotAnAgent(f"`{key}` is missing")


def _read_told(given: Mapping[str, Any]) -> dict[str, Any]:
    told = {key: given[key] for key in _TOLD if key in given}
    told |= {key: _read_list(key, given.get(key) or ()) for key in _LISTS}
    told["facets"] = _read_schemas(given.get("facets") or {})
    try:
        return make_plain("The mapping", told)
    except NotPlain as error:
        raise NotAnAgent(str(error)) from error


def _read_list(key: str, given: object) -> list[str]:
    names = [given] if isinstance(given, str) else given
    if isinstance(names, (list, tuple)):
        listed = cast("Sequence[object]", names)
        if all(isinstance(one, str) for one in listed):
            return [str(one) for one in listed]
    raise NotAnAgent(f"`{key}` must be a list of texts, not {given!r}")


def _read_schemas(given: object) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise NotAnAgent(f"`facets` must be a mapping, not {_type(given)}")
    schemas: dict[str, Any] = {}
    for name, kind in cast("Mapping[object, object]", given).items():
        write = getattr(kind, "model_json_schema", None)  # of a Pydantic class
        schema = write() if callable(write) else kind
        if not isinstance(schema, Mapping):
            raise NotAnAgent(f"`facets.{name}` must be a JSON Schema or a Pydantic class")
        schemas[str(name)] = cast(object, schema)
    return schemas


def _read_run(run: object) -> Graph | Callable[..., Any]:
    if isinstance(run, StateGraph):
        return compile_graph(cast("StateGraph[Any]", run))
    if isinstance(run, Pregel):
        return cast(Graph, run)
    if isinstance(run, Runnable):
        return _call_runnable(cast("Runnable[Any, Any]", run))
    if not callable(run):
        raise NotAnAgent(f"`run` must be a function or a LangGraph graph, not {_type(run)}")
    _check_function(run)
    return run


def compile_graph(graph: StateGraph[Any]) -> Graph:
    """Return it compiled. Raise NotAnAgent."""
    try:
        return cast(Graph, graph.compile())
    except Exception as error:  # foreign code: what it raises is the reason
        raise NotAnAgent(f"it is a graph that does not compile: {error}") from error


def _call_runnable(runnable: Runnable[Any, Any]) -> Callable[..., Any]:
    async def invoke(task: Any) -> object:
        made: object = await runnable.ainvoke(task)
        return read_text(made) if isinstance(made, BaseMessage) else made

    return invoke


def _check_function(run: Callable[..., Any]) -> None:
    for one in (run, getattr(run, "__call__", None)):  # noqa: B004  # an object's own
        if inspect.isgeneratorfunction(one) or inspect.isasyncgenfunction(one):
            raise NotAnAgent("`run` is a generator: nobody would take what it yields")
    try:
        parameters = [*inspect.signature(run).parameters.values()]
    except (TypeError, ValueError):  # of a builtin nothing is known
        return
    if not parameters or parameters[0].kind is inspect.Parameter.KEYWORD_ONLY:
        raise NotAnAgent("`run` takes no argument; it is called with the task")
    if needed := [one.name for one in parameters[1:] if _is_needed(one)]:
        raise NotAnAgent(
            f"`run` needs {', '.join(needed)}; it is called with the task,"
            f" and with what it names of {', '.join(INJECTED)}"
        )


def _is_needed(one: inspect.Parameter) -> bool:
    has_default = one.default is not inspect.Parameter.empty
    return not has_default and one.kind not in _VARIADIC and one.name not in INJECTED


def _check_context(run: object, given: Mapping[str, Any]) -> None:
    schema = getattr(run, "context_schema", None)
    needed = list_required(cast("type[Any]", schema)) if isinstance(schema, type) else []
    if needed and given.get("context") is None:
        raise NotAnAgent(
            f"the graph's context needs {', '.join(needed)}: give a `context`, task -> context"
        )


def _read_function(given: Mapping[str, Any], key: str) -> Callable[[Any], Any] | None:
    found = given.get(key)
    if found is None or callable(found):
        return found
    raise NotAnAgent(f"`{key}` must be a function, not {_type(found)}")


def _read_value(given: Mapping[str, Any], key: str) -> Callable[[Task], Any] | None:
    """Return what makes it of a task; of a value that is the same for all tasks, too."""
    found = given.get(key)
    if found is None or (callable(found) and not isinstance(found, type)):
        return found
    return lambda task: found


def _read_denied(given: Mapping[str, Any]) -> Callable[[str], Any] | None:
    if "denied" not in given:
        return None
    denied = given["denied"]  # `False` and `None` are words, too
    return denied if callable(denied) else lambda reason: denied


def _read_store(given: object) -> BaseStore | None:
    if given is None or isinstance(given, BaseStore):
        return given
    raise NotAnAgent(f"`store` must be a LangGraph store, not {_type(given)}")


def _read_stream(given: object) -> bool:
    names = cast("Sequence[object]", given if isinstance(given, (list, tuple)) else [given])
    if any(name != "custom" for name in names):
        raise NotAnAgent("`stream` must be a list of custom; [] tells nothing")
    return bool(names)


def _type(value: object) -> str:
    return f"of type {type(value).__name__}"
