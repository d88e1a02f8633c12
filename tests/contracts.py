"""Capabilities in a line: `writer: brief, source? -> drafts`, and `~ drafts` after it for what it
makes others do again.
"""

import re

from hitl_orchestrator.domain.capability import Capability, contract_of
from hitl_orchestrator.domain.hitl import ContractSummary, FacetNames

_LINE = re.compile(r"(\S+):([^>]*)->([^~]+)(?:~(.+))?")


def capability(line: str) -> Capability:
    found = _LINE.fullmatch(line)
    assert found, line
    name, inputs, outputs, reworks = (
        found[1],
        _names(found[2]),
        _names(found[3]),
        _names(found[4] or ""),
    )
    needed = [each for each in inputs if not each.endswith("?")]
    optional = [each.removesuffix("?") for each in inputs if each.endswith("?")]
    return Capability(
        capabilityId=name,
        displayName=name.capitalize(),
        inputFacets=tuple(needed),
        optionalInputFacets=tuple(optional),
        outputFacets=tuple(outputs),
        reworks=tuple(reworks),
        contract=contract_of({}, needed, optional, outputs),
    )


def registry(*lines: str) -> dict[str, Capability]:
    return {each.capabilityId: each for each in map(capability, lines)}


def summary(line: str) -> ContractSummary:
    it = capability(line)
    return ContractSummary(
        nodeId=it.capabilityId,
        nodeLabel=it.displayName,
        capabilityId=it.capabilityId,
        capabilityLabel=it.displayName,
        planVersion=1,
        facets=FacetNames(input=it.inputFacets, output=it.outputFacets),
        contract=it.contract,
    )


def _names(text: str) -> list[str]:
    return [name for each in text.split(",") if (name := each.strip())]
