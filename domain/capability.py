"""Facets and capability contracts: what a specialist takes and what it makes."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated

from pydantic import Field, StringConstraints

from hitl_orchestrator.domain.hitl import Contract
from hitl_orchestrator.domain.records import JsonObject, Record

# A leading letter also keeps LangGraph's reserved "__…__" keys out of the state's maps.
FacetName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_.\-]{0,99}$")]
CapabilityId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_.\-]{0,99}$")]

OBJECTIVE = "objective"  # always at hand
PUBLISHED = "published"  # what the announcement desk makes


class Retries(Record):
    """How often a step that failed by an error is tried again, and how long after each failure."""

    attempts: Annotated[int, Field(ge=1, le=100)]
    seconds: Annotated[float, Field(ge=0, le=86400, allow_inf_nan=False)]


class Capability(Record):
    """The public face of a specialist.

    `reworks`: facets made again after a person gave this step freeform guidance. `disagreesWith`:
    those that make one of its inputs by another schema; a plan has never both. `fingerprint`: of
    the agent's graph, empty where it is not known.
    """

    capabilityId: CapabilityId
    displayName: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    summary: Annotated[str, StringConstraints(max_length=2000)] = ""
    inputFacets: tuple[FacetName, ...] = ()
    optionalInputFacets: tuple[FacetName, ...] = ()
    outputFacets: Annotated[tuple[FacetName, ...], Field(min_length=1)]
    reworks: tuple[FacetName, ...] = ()
    disagreesWith: tuple[CapabilityId, ...] = ()
    timeoutSeconds: Annotated[float, Field(gt=0)] = 600
    retries: Retries | None = None
    contract: Contract
    fingerprint: str = ""


Registry = Mapping[str, Capability]  # by id, in the order of registration


def describe_contract(capability: Capability) -> str:
    """Return a line with its id, and what it takes and makes."""
    optional = [f"{name}?" for name in capability.optionalInputFacets]
    takes = ", ".join([*capability.inputFacets, *optional]) or "nothing"
    return f"{capability.capabilityId}: {takes} -> {', '.join(capability.outputFacets)}"


def default_outputs(registry: Registry, configured: Sequence[str] | None) -> tuple[str, ...]:
    """Return the facets wanted of a run that names none; empty: it has to name some."""
    if configured:
        return tuple(configured)
    if any(PUBLISHED in capability.outputFacets for capability in registry.values()):
        return (PUBLISHED,)
    if len(registry) == 1:
        return next(iter(registry.values())).outputFacets
    return ()


def contract_of(
    schemas: Mapping[str, JsonObject],
    inputs: Iterable[str],
    optional: Iterable[str],
    outputs: Iterable[str],
) -> Contract:
    """Merge the facets' schemas: one object schema for what goes in, one for what comes out."""
    required = list(inputs)
    return Contract(
        input=_object_schema(schemas, [*required, *optional], required),
        output=_object_schema(schemas, list(outputs), list(outputs)),
    )


def _object_schema(
    schemas: Mapping[str, JsonObject], names: Iterable[str], required: list[str]
) -> JsonObject:
    return {
        "type": "object",
        "properties": {
            name: schemas.get(name, {"type": "string"} if name == OBJECTIVE else {})
            for name in names
        },
        "required": [*required],
    }
