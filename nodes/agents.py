"""How an agent is plugged in: a mapping, checked, becomes an `Agent`. See docs/agents.md."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, cast

from langchain_core.runnables import Runnable
from langgraph.graph import StateGraph
from langgraph.pregel import Pregel
from langgraph.store.base import BaseStore
from langgraph.types import StreamMode
from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from hitl_orchestrator.domain.capability import Capability, FacetName, contract_of
from hitl_orchestrator.domain.checking import refers_to_itself
from hitl_orchestrator.domain.errors import ConfigurationError, Invalid
from hitl_orchestrator.domain.hitl import Contract
from hitl_orchestrator.domain.records import JsonObject, describe_misfit
from hitl_orchestrator.domain.schemas import schema_error
from hitl_orchestrator.domain.state import PARTS
from hitl_orchestrator.nodes.bare import describe_graph, name_graph, take_whole
from hitl_orchestrator.nodes.fingerprint import take_fingerprint
from hitl_orchestrator.nodes.loading import describe, load_entry, names_file, names_manifest
from hitl_orchestrator.nodes.plain import make_plain
from hitl_orchestrator.nodes.run_kinds import (
    REMOTE_KEYS,
    AgentGraph,
    AgentRun,
    ElsewhereRun,
    NotAnAgent,
    RemoteGraph,
    compile_graph,
    read_run,
    take_run,
)
from hitl_orchestrator.nodes.surroundings import find_needed_context


@dataclass(frozen=True)
class Agent:
    """What a mapping says. `schemas`: by facet, JSON Schemas.

    `input` and `output` replace how a graph is given its task and how its facets are found; `ask`,
    `answer` and `denied` how it asks, and how an answer and a refusal are said to it. `context` and
    `config` make, of its task, what it is run with; `store`: its own, besides the graph's.
    `stream`: LangGraph's modes of what it tells while it works. `entry`: of HITL_AGENTS, that names
    it; empty: none does.
    """

    capability: Capability
    schemas: Mapping[str, JsonObject]
    run: AgentRun
    input: Callable[[JsonObject], Any] | None = None
    output: Callable[[Any], Any] | None = None
    ask: Callable[[Any], Any] | None = None
    answer: Callable[[Any, Any], Any] | None = None
    denied: Callable[[str], Any] | None = None  # from the reason
    context: Callable[[JsonObject], Any] | None = None
    config: Callable[[JsonObject], Any] | None = None
    store: BaseStore | None = None
    stream: tuple[StreamMode, ...] = ("custom",)
    entry: str = ""


_schemas = TypeAdapter(dict[FacetName, JsonObject])
# what a mapping names, and what LangGraph calls it
_STREAMS: Mapping[str, StreamMode] = MappingProxyType({"custom": "custom", "tokens": "messages"})
_OPTIONAL = ("input", "output", "ask", "answer")
_VALUES = ("context", "config")  # or a function of the task
_LISTS = ("inputFacets", "optionalInputFacets", "outputFacets", "reworks")
# LangGraph gives a node and a channel of one graph no common name
_TAKEN = {"planner", "guard", *PARTS, "result", "events"}
_OURS = {"contract", "disagreesWith", "fingerprint"}  # of a capability: what we find out ourselves
_KEYS = Capability.model_fields.keys() - _OURS | {
    "facets",
    "run",
    "denied",
    "store",
    "stream",
    *REMOTE_KEYS,
    *_OPTIONAL,
    *_VALUES,
}


def load_agents(entries: Sequence[str], settings: object) -> list[Agent]:
    """Load the agents that the entries of HITL_AGENTS name, in their order.

    Raises ConfigurationError. A function among them is called with the settings.
    """
    # modules first: what they are must not depend on what lies beside the files
    named = {entry: load_entry(entry) for entry in sorted(entries, key=names_file)}
    agents: list[Agent] = []
    for entry in entries:
        where = f"HITL_AGENTS: {entry}"
        found, name = named[entry], entry.rpartition(":")[2]
        if not names_manifest(entry):
            found = _call_factory(found, settings, where)
            name = _name(found) or name
        agents += [replace(agent, entry=entry) for agent in _read_all(found, where, name)]
    return agents


def read_agent(described: object, where: str, name: str | None = None) -> Agent:
    """Check the mapping. Raises ConfigurationError, with `where` first in what it says.

    `name`: of a graph that stands for itself; None: its own.
    """
    try:
        given = _describe(described, name)
        if given is None:
            kind = type(described).__name__
            raise ConfigurationError(
                f"{where} is no mapping that describes an agent, but of type {kind}"
            )
        return _read_mapping(given)
    except NotAnAgent as error:
        raise ConfigurationError(f"{where}: {error}") from error


def _name(found: object) -> str | None:
    """Return the name that a graph has itself."""
    return name_graph(cast(AgentGraph, found)) if isinstance(found, Pregel) else None


def _describe(described: object, name: str | None) -> dict[str, Any] | None:
    """Return the mapping, or that of a graph that stands for itself; None: it is neither."""
    if isinstance(described, StateGraph):
        described = compile_graph(cast("StateGraph[Any]", described))
    if isinstance(described, Pregel):
        return describe_graph(cast(AgentGraph, described), name)
    return dict(cast(Mapping[str, Any], described)) if isinstance(described, Mapping) else None


def _read_mapping(given: dict[str, Any]) -> Agent:
    _check_keys(given)
    described = take_run(given)
    run = described if isinstance(described, RemoteGraph | ElsewhereRun) else read_run(described)
    schemas = _read_schemas(given.pop("facets", {}))
    callables: dict[str, Any] = {
        key: _read_callable(key, given.pop(key, None)) for key in _OPTIONAL
    }
    callables["denied"] = _read_denied(given)
    callables |= {key: _read_value(given.pop(key, None)) for key in _VALUES}
    store = _read_store(given.pop("store", None))
    stream = _read_stream(given.pop("stream", ["custom"]))
    if store is not None and isinstance(run, RemoteGraph):
        raise NotAnAgent("a graph behind LangGraph's API has the `store` of its server")
    capability = _read_capability(given, schemas).but(fingerprint=take_fingerprint(run))
    needed = [] if callables["context"] else find_needed_context(run)
    if needed:
        raise NotAnAgent(
            f"the graph's context needs {', '.join(needed)}: give a `context`, task -> context"
        )
    is_chain = isinstance(described, Runnable) and not isinstance(described, Pregel)
    if is_chain and callables["output"] is None and len(capability.outputFacets) == 1:
        callables["output"] = take_whole(capability.outputFacets[0])
    return Agent(capability, schemas, run, store=store, stream=stream, **callables)


def build_catalogue(agents: Sequence[Agent]) -> dict[str, Agent]:
    """Return the agents by capability id, in the order given. Raises ConfigurationError.

    An agent may use a facet that another one defines: the first to define it. Two may define one
    facet differently: each is held to its own schema, and they never work in one plan together.
    """
    known: dict[str, Agent] = {}
    shared: dict[str, JsonObject] = {}
    for agent in agents:
        name = agent.capability.capabilityId
        if name in known:
            raise ConfigurationError(f"Two agents have the capabilityId {name}")
        if name in _TAKEN:
            raise ConfigurationError(
                f"The capabilityId {name} is a name of the orchestrator's own graph; choose another"
            )
        known[name] = agent
        shared = {**agent.schemas, **shared}
    return {
        name: _place_among(agent, agents, {**shared, **agent.schemas})
        for name, agent in known.items()
    }


def build_registry(agents: Sequence[Agent]) -> dict[str, Capability]:
    """Return their capabilities by id, in the order given. Raises ConfigurationError."""
    return {name: agent.capability for name, agent in build_catalogue(agents).items()}


def _call_factory(found: object, settings: object, where: str) -> object:
    """Return what the entry names; of a function, what it returns."""
    if isinstance(found, Mapping | list | tuple | Pregel | StateGraph) or not callable(found):
        return cast(object, found)
    try:
        made: object = found(settings)
    except (Exception, SystemExit) as error:
        # foreign code runs here: whatever it raises, one line says so
        raise ConfigurationError(
            f"{where} fails when it is called with the settings: {describe(error)}"
        ) from error
    if isinstance(made, Coroutine):
        # it is refused, and would be complained about
        cast("Coroutine[Any, Any, Any]", made).close()
    return cast(object, made)


def _read_all(found: object, where: str, name: str) -> list[Agent]:
    if not isinstance(found, list | tuple):
        return [read_agent(found, where, name)]
    mappings = cast(Sequence[object], found)
    if not mappings:
        raise ConfigurationError(f"{where} names no agent: it is an empty list")
    return [read_agent(one, f"{where}, number {n}") for n, one in enumerate(mappings, 1)]


def _place_among(agent: Agent, agents: Sequence[Agent], schemas: dict[str, JsonObject]) -> Agent:
    """Return it with all the schemas it needs, and with those named that it disagrees with."""
    capability = agent.capability
    inputs = {*capability.inputFacets, *capability.optionalInputFacets}
    defined = {name: schemas[name] for name in inputs & set(agent.schemas)}
    others = [other.capability.capabilityId for other in agents if _differs(other, defined)]
    placed = capability.but(
        contract=_build_contract(capability, schemas), disagreesWith=tuple(others)
    )
    return replace(agent, schemas=schemas, capability=placed)


def _differs(maker: Agent, schemas: Mapping[str, JsonObject]) -> bool:
    """Tell whether it makes one of these facets by another schema."""
    for facet in maker.capability.outputFacets:
        if facet in schemas and maker.schemas.get(facet, schemas[facet]) != schemas[facet]:
            return True
    return False


def _check_keys(given: Mapping[str, Any]) -> None:
    if unknown := [str(key) for key in given if key not in _KEYS]:
        raise NotAnAgent(f"unknown key {', '.join(unknown)}; known are {', '.join(sorted(_KEYS))}")


def _read_schemas(given: object) -> dict[str, JsonObject]:
    try:
        schemas = _schemas.validate_python(_write_schemas(given))
    except ValidationError as error:
        raise NotAnAgent(describe_misfit(error, "facets")) from error
    for name, schema in schemas.items():
        if problem := schema_error(schema):
            raise NotAnAgent(f"`facets.{name}` is not a JSON Schema: {problem}")
        if refers_to_itself(schema):
            raise NotAnAgent(f"`facets.{name}` cannot be checked: it refers to itself without end")
    return schemas


def _write_schemas(given: object) -> object:
    """Return them with the JSON Schema of each class that stands for one."""
    if not isinstance(given, Mapping):
        return given
    facets = cast(Mapping[object, object], given)
    return {
        name: _write_schema(kind, f"facets.{name}") if isinstance(kind, type) else kind
        for name, kind in facets.items()
    }


def _write_schema(kind: type, where: str) -> JsonObject:
    try:
        return TypeAdapter(kind).json_schema()
    except PydanticUserError as error:
        reason = describe(error)
        raise NotAnAgent(f"`{where}` is a class without a JSON Schema: {reason}") from error


def _read_value(given: object) -> Callable[[JsonObject], Any] | None:
    """Return what makes it of a task; of a value that is the same for all tasks, too."""
    if given is None or (callable(given) and not isinstance(given, type)):
        return cast("Callable[[JsonObject], Any] | None", given)
    return lambda task: given


def _read_store(given: object) -> BaseStore | None:
    if given is None or isinstance(given, BaseStore):
        return given
    raise NotAnAgent(f"`store` must be a LangGraph store, not {type(given).__name__}")


def _read_stream(given: object) -> tuple[StreamMode, ...]:
    names = cast("Sequence[object]", given if isinstance(given, list | tuple) else [given])
    known = [name for name in _STREAMS if name in names]
    if len(known) < len(names):
        raise NotAnAgent(f"`stream` must be a list of {', '.join(_STREAMS)}; [] tells nothing")
    return tuple(_STREAMS[name] for name in known)


def _read_denied(given: dict[str, Any]) -> Callable[[str], Any] | None:
    """Return what a refusal is said by; None: there is no such key. `False` and `None` are words.

    Take the key out of the mapping.
    """
    if "denied" not in given:
        return None
    denied: object = given.pop("denied")
    if callable(denied):
        return denied
    try:
        plain = make_plain("`denied`", denied)
    except Invalid as error:
        raise NotAnAgent(f"{error.detail}; or give a function of the reason") from error
    return lambda reason: plain


def _read_callable(key: str, given: object) -> Callable[..., Any] | None:
    if given is None or callable(given):
        return given
    raise NotAnAgent(f"`{key}` must be a function, not {type(given).__name__}")


def _read_capability(given: Mapping[str, Any], schemas: Mapping[str, JsonObject]) -> Capability:
    named = {key: (given[key],) for key in _LISTS if isinstance(given.get(key), str)}
    try:
        capability = Capability.model_validate(
            {**given, **named, "contract": Contract(input={}, output={})}
        )
    except ValidationError as error:
        raise NotAnAgent(describe_misfit(error)) from error
    _check_once((*capability.inputFacets, *capability.optionalInputFacets))
    _check_once(capability.outputFacets)
    return capability.but(contract=_build_contract(capability, schemas))


def _check_once(names: Sequence[str]) -> None:
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise NotAnAgent(f"the facet {', '.join(twice)} is named twice")


def _build_contract(capability: Capability, schemas: Mapping[str, JsonObject]) -> Contract:
    return contract_of(
        schemas, capability.inputFacets, capability.optionalInputFacets, capability.outputFacets
    )
