"""What an agent made: its facets, found in what it left behind and held to their schemas."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from hitl_orchestrator.domain.checking import Checked, knowing
from hitl_orchestrator.domain.errors import Invalid
from hitl_orchestrator.domain.records import Json, JsonObject
from hitl_orchestrator.domain.schemas import mismatches
from hitl_orchestrator.domain.state import Outcome, Report
from hitl_orchestrator.nodes.agents import Agent
from hitl_orchestrator.nodes.checks import Checks
from hitl_orchestrator.nodes.plain import list_said, make_plain

MAX_FACET_BYTES = 1024 * 1024
MAX_TEXT_LENGTH = 2000  # of an agent's error, and of each of its warnings
MAX_WARNINGS = 50


async def report_outputs(
    agent: Agent, values: Any, checks: Checks, has_channels: bool = True
) -> Report:
    """Report the facets in its final state. Raise Invalid for one that does not fit.

    `has_channels`: the state has more than facets, as a graph's; not what a function returned.
    """
    if agent.output is not None:
        values = agent.output(values)

    async def build(checked: Checked) -> Report:
        with knowing(checked):
            return _build_report(agent, _find_outputs(agent, values, has_channels))

    return await checks.settle(build)


def _find_outputs(agent: Agent, values: Any, has_channels: bool) -> Mapping[str, Any]:
    """Return what it made, by facet and not yet checked, and its `warnings`."""
    if agent.output is None and has_channels and isinstance(values, Mapping):
        return _find_in_state(agent, cast(Mapping[str, Any], values))
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        raise Invalid(
            f"What it returned is of type {type(values).__name__},"
            " not a mapping of its output facets"
        )
    return cast(Mapping[str, Any], values)


def _find_in_state(agent: Agent, state: Mapping[str, Any]) -> Mapping[str, Any]:
    outputs = agent.capability.outputFacets
    found = {name: state[name] for name in outputs if name in state}
    if not found and len(outputs) == 1:
        schema = agent.schemas.get(outputs[0], {})
        # the one that fits first; if none does, the first says why it does not
        for said in sorted(list_said(state), key=lambda each: bool(mismatches(each, schema)))[:1]:
            found = {outputs[0]: said}
    return {name: state[name] for name in ("warnings",) if name in state} | found


def _build_report(agent: Agent, made: Mapping[str, Any]) -> Report:
    outputs = agent.capability.outputFacets
    rest = {name: value for name, value in made.items() if name not in outputs}
    said = rest.pop("warnings", None)
    warnings = [f"returned {name}, which is none of its output facets: ignored" for name in rest]
    warnings += _list_warnings(said)
    facets = {
        name: _check_facet(name, made[name], agent.schemas.get(name, {}))
        for name in outputs
        if name in made
    }
    return Report(
        outcome=Outcome.COMPLETED,
        facets=facets,
        warnings=tuple(shorten(warning) for warning in warnings[:MAX_WARNINGS]),
    )


def _list_warnings(said: object) -> list[str]:
    if not said:
        return []
    if isinstance(said, list | tuple):
        return [str(one) for one in cast(Sequence[object], said)]
    return [str(said)]


def _check_facet(name: str, value: object, schema: JsonObject) -> Json:
    """Return it as JSON. Raise Invalid, which names the facet, the path and the rule."""
    plain = make_plain(f"The facet {name}", value)
    size = len(json.dumps(plain, ensure_ascii=False).encode())
    if size > MAX_FACET_BYTES:
        raise Invalid(f"The facet {name} has {size} bytes; {MAX_FACET_BYTES} are allowed")
    if wrong := mismatches(plain, schema, f"/{name}"):
        details = [
            f"{one['path']} breaks the rule `{one['rule']}`: {one['message']}" for one in wrong
        ]
        raise Invalid(f"The facet {name} does not fit its schema: {'; '.join(details)}")
    return plain


def shorten(text: str) -> str:
    """Return it short enough, and storable."""
    return text[:MAX_TEXT_LENGTH].replace("\0", "").encode(errors="replace").decode()
