"""How an agent is plugged in: contract section 8. A mapping, or the name of one, becomes an
`Agent`, or stops the start with one line.
"""

from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from langgraph.graph import StateGraph
from langgraph.pregel import Pregel
from pydantic import TypeAdapter, ValidationError

from hitl_orchestrator.domain.capability import Capability, FacetName, contract_of
from hitl_orchestrator.domain.errors import ConfigurationError
from hitl_orchestrator.domain.hitl import Contract
from hitl_orchestrator.domain.records import JsonObject
from hitl_orchestrator.domain.schemas import schema_error
from hitl_orchestrator.domain.state import State
from hitl_orchestrator.nodes.loading import describe, load_entry, names_file

Graph = Pregel[Any, Any, Any, Any]
Run = Graph | Callable[[Any], Any]  # a function, sync or async


@dataclass(frozen=True)
class Agent:
    """`schemas`: by facet, JSON Schemas. `input` and `output` replace how a graph is given its task
    and how its facets are found.
    """

    capability: Capability
    schemas: Mapping[str, JsonObject]
    run: Run
    input: Callable[[JsonObject], Any] | None = None
    output: Callable[[Any], Any] | None = None


_schemas = TypeAdapter(dict[FacetName, JsonObject])
_OPTIONAL = ("input", "output")
# LangGraph gives a node and a channel of one graph no common name
_TAKEN = {"planner", "guard", *State.__annotations__}
_KEYS = Capability.model_fields.keys() - {"contract", "disagreesWith"} | {
    "facets",
    "run",
    *_OPTIONAL,
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
        found = _made(named[entry], settings, where)
        if not isinstance(found, list | tuple):
            agents.append(agent_of(found, where))
            continue
        if not found:
            raise ConfigurationError(f"{where} names no agent: it is an empty list")
        several = cast(Sequence[object], found)
        agents += [agent_of(one, f"{where}, number {n}") for n, one in enumerate(several, 1)]
    return agents


def _made(found: object, settings: object, where: str) -> object:
    """What the entry names; of a function, what it returns."""
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
        made.close()
    return made


def agent_of(mapping: object, where: str) -> Agent:
    """The mapping, checked. `where` stands first in what is raised: a ConfigurationError."""
    if not isinstance(mapping, Mapping):
        raise ConfigurationError(
            f"{where} is no mapping that describes an agent, but of type {type(mapping).__name__}"
        )
    given = dict(cast(Mapping[str, Any], mapping))
    try:
        if unknown := [str(key) for key in given if key not in _KEYS]:
            raise _Unfit(f"unknown key {', '.join(unknown)}; known are {', '.join(sorted(_KEYS))}")
        run = _run(given.pop("run", None))
        schemas = _facets(given.pop("facets", {}))
        callables = {key: _callable(key, given.pop(key, None)) for key in _OPTIONAL}
        return Agent(_capability(given, schemas), schemas, run, **callables)
    except _Unfit as error:
        raise ConfigurationError(f"{where}: {error}") from error


def catalogue(agents: Sequence[Agent]) -> dict[str, Agent]:
    """By capability id, in the order given. An agent may use a facet that another one defines: the
    first to define it.

    Two may define one facet differently: each is held to its own schema, and they never work in one
    plan together.
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
        name: _among(agent, agents, {**shared, **agent.schemas}) for name, agent in known.items()
    }


def _among(agent: Agent, agents: Sequence[Agent], schemas: dict[str, JsonObject]) -> Agent:
    taken = {*agent.capability.inputFacets, *agent.capability.optionalInputFacets} & set(
        agent.schemas
    )
    others = tuple(
        other.capability.capabilityId
        for other in agents
        if any(
            other.schemas.get(facet, schemas[facet]) != schemas[facet]
            for facet in taken & set(other.capability.outputFacets)
        )
    )
    capability = agent.capability.but(
        contract=_contract(agent.capability, schemas), disagreesWith=others
    )
    return replace(agent, schemas=schemas, capability=capability)


def registry(agents: Sequence[Agent]) -> dict[str, Capability]:
    return {name: agent.capability for name, agent in catalogue(agents).items()}


class _Unfit(Exception):
    """Why a mapping describes no agent."""


def _run(run: object) -> Run:
    try:
        graph: object = (
            cast(StateGraph[Any, Any, Any, Any], run).compile()
            if isinstance(run, StateGraph)
            else run
        )
    except Exception as error:  # foreign code: what it raises is the reason
        raise _Unfit(f"`run` is a graph that does not compile: {describe(error)}") from error
    if isinstance(graph, Pregel):
        return _without_breakpoints(cast(Graph, graph))
    if not callable(graph):
        raise _Unfit(
            f"`run` must be a function, a compiled LangGraph graph or a StateGraph, not {type(graph).__name__}"
        )
    return graph


def _without_breakpoints(graph: Graph) -> Graph:
    """A static breakpoint stops without a question; to go on past it would skip what may be
    somebody's approval.
    """
    subgraphs = cast(Iterable[tuple[str, object]], graph.get_subgraphs(recurse=True))
    for each in (graph, *(subgraph for _, subgraph in subgraphs)):
        if isinstance(each, Pregel) and (each.interrupt_before_nodes or each.interrupt_after_nodes):
            raise _Unfit(
                "`run` has a static breakpoint (interrupt_before, interrupt_after), which asks no question; use interrupt()"
            )
    return graph


def _facets(given: object) -> dict[str, JsonObject]:
    try:
        schemas = _schemas.validate_python(given)
    except ValidationError as error:
        raise _Unfit(_first(error, "facets")) from error
    for name, schema in schemas.items():
        if problem := schema_error(schema):
            raise _Unfit(f"`facets.{name}` is not a JSON Schema: {problem}")
    return schemas


def _callable(key: str, given: object) -> Callable[[Any], Any] | None:
    if given is None or callable(given):
        return given
    raise _Unfit(f"`{key}` must be a function, not {type(given).__name__}")


def _capability(given: Mapping[str, Any], schemas: Mapping[str, JsonObject]) -> Capability:
    try:
        capability = Capability.model_validate({**given, "contract": Contract(input={}, output={})})
    except ValidationError as error:
        raise _Unfit(_first(error)) from error
    for names in (
        (*capability.inputFacets, *capability.optionalInputFacets),
        capability.outputFacets,
    ):
        if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
            raise _Unfit(f"the facet {', '.join(twice)} is named twice")
    return capability.but(contract=_contract(capability, schemas))


def _contract(capability: Capability, schemas: Mapping[str, JsonObject]) -> Contract:
    return contract_of(
        schemas, capability.inputFacets, capability.optionalInputFacets, capability.outputFacets
    )


def _first(error: ValidationError, *under: str) -> str:
    first = error.errors()[0]
    return f"`{'.'.join(map(str, (*under, *first['loc'])))}`: {first['msg']}"
