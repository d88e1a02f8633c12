"""How an agent is plugged in: a mapping, checked, becomes an `Agent`. See docs/agents.md."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from langgraph.graph import StateGraph
from langgraph.pregel import Pregel
from pydantic import TypeAdapter, ValidationError

from hitl_orchestrator.domain.capability import Capability, FacetName, contract_of
from hitl_orchestrator.domain.checking import refers_to_itself
from hitl_orchestrator.domain.errors import ConfigurationError, Invalid
from hitl_orchestrator.domain.hitl import Contract
from hitl_orchestrator.domain.records import JsonObject, describe_misfit
from hitl_orchestrator.domain.schemas import schema_error
from hitl_orchestrator.domain.state import PARTS
from hitl_orchestrator.nodes.fingerprint import take_fingerprint
from hitl_orchestrator.nodes.loading import describe, load_entry, names_file
from hitl_orchestrator.nodes.plain import make_plain

AgentGraph = Pregel[Any, Any, Any, Any]
AgentRun = AgentGraph | Callable[[Any], Any]  # a function, sync or async


@dataclass(frozen=True)
class Agent:
    """What a mapping says. `schemas`: by facet, JSON Schemas.

    `input` and `output` replace how a graph is given its task and how its facets are found; `ask`,
    `answer` and `denied` how it asks, and how an answer and a refusal are said to it.
    """

    capability: Capability
    schemas: Mapping[str, JsonObject]
    run: AgentRun
    input: Callable[[JsonObject], Any] | None = None
    output: Callable[[Any], Any] | None = None
    ask: Callable[[Any], Any] | None = None
    answer: Callable[[Any, Any], Any] | None = None
    denied: Callable[[str], Any] | None = None  # from the reason


_schemas = TypeAdapter(dict[FacetName, JsonObject])
_OPTIONAL = ("input", "output", "ask", "answer")
# LangGraph gives a node and a channel of one graph no common name
_TAKEN = {"planner", "guard", *PARTS, "result", "events"}
_OURS = {"contract", "disagreesWith", "fingerprint"}  # of a capability: what we find out ourselves
_KEYS = Capability.model_fields.keys() - _OURS | {"facets", "run", "denied", *_OPTIONAL}


def load_agents(entries: Sequence[str], settings: object) -> list[Agent]:
    """Load the agents that the entries of HITL_AGENTS name, in their order.

    Raises ConfigurationError. A function among them is called with the settings.
    """
    # modules first: what they are must not depend on what lies beside the files
    named = {entry: load_entry(entry) for entry in sorted(entries, key=names_file)}
    agents: list[Agent] = []
    for entry in entries:
        where = f"HITL_AGENTS: {entry}"
        agents += _read_all(_call_factory(named[entry], settings, where), where)
    return agents


def read_agent(mapping: object, where: str) -> Agent:
    """Check the mapping. Raises ConfigurationError, with `where` first in what it says."""
    if not isinstance(mapping, Mapping):
        raise ConfigurationError(
            f"{where} is no mapping that describes an agent, but of type {type(mapping).__name__}"
        )
    given = dict(cast(Mapping[str, Any], mapping))
    try:
        _check_keys(given)
        run = _read_run(given.pop("run", None))
        schemas = _read_schemas(given.pop("facets", {}))
        callables = {key: _read_callable(key, given.pop(key, None)) for key in _OPTIONAL}
        callables["denied"] = _read_denied(given)
        capability = _read_capability(given, schemas).but(fingerprint=take_fingerprint(run))
        return Agent(capability, schemas, run, **callables)
    except _Unfit as error:
        raise ConfigurationError(f"{where}: {error}") from error


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


def _read_all(found: object, where: str) -> list[Agent]:
    if not isinstance(found, list | tuple):
        return [read_agent(found, where)]
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


class _Unfit(Exception):
    """Why a mapping describes no agent."""


def _check_keys(given: Mapping[str, Any]) -> None:
    if unknown := [str(key) for key in given if key not in _KEYS]:
        raise _Unfit(f"unknown key {', '.join(unknown)}; known are {', '.join(sorted(_KEYS))}")


def _read_run(run: object) -> AgentRun:
    graph = _compile(cast(StateGraph[Any], run)) if isinstance(run, StateGraph) else run
    if isinstance(graph, Pregel):
        return cast(AgentGraph, graph)
    if not callable(graph):
        raise _Unfit(
            "`run` must be a function, a compiled LangGraph graph or a StateGraph,"
            f" not {type(graph).__name__}"
        )
    return graph


def _compile(graph: StateGraph[Any]) -> object:
    try:
        return graph.compile()
    except Exception as error:  # foreign code: what it raises is the reason
        raise _Unfit(f"`run` is a graph that does not compile: {describe(error)}") from error


def _read_schemas(given: object) -> dict[str, JsonObject]:
    try:
        schemas = _schemas.validate_python(given)
    except ValidationError as error:
        raise _Unfit(describe_misfit(error, "facets")) from error
    for name, schema in schemas.items():
        if problem := schema_error(schema):
            raise _Unfit(f"`facets.{name}` is not a JSON Schema: {problem}")
        if refers_to_itself(schema):
            raise _Unfit(f"`facets.{name}` cannot be checked: it refers to itself without end")
    return schemas


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
        raise _Unfit(f"{error.detail}; or give a function of the reason") from error
    return lambda reason: plain


def _read_callable(key: str, given: object) -> Callable[..., Any] | None:
    if given is None or callable(given):
        return given
    raise _Unfit(f"`{key}` must be a function, not {type(given).__name__}")


def _read_capability(given: Mapping[str, Any], schemas: Mapping[str, JsonObject]) -> Capability:
    try:
        capability = Capability.model_validate({**given, "contract": Contract(input={}, output={})})
    except ValidationError as error:
        raise _Unfit(describe_misfit(error)) from error
    _check_once((*capability.inputFacets, *capability.optionalInputFacets))
    _check_once(capability.outputFacets)
    return capability.but(contract=_build_contract(capability, schemas))


def _check_once(names: Sequence[str]) -> None:
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise _Unfit(f"the facet {', '.join(twice)} is named twice")


def _build_contract(capability: Capability, schemas: Mapping[str, JsonObject]) -> Contract:
    return contract_of(
        schemas, capability.inputFacets, capability.optionalInputFacets, capability.outputFacets
    )
