"""Backwards over the contracts: which capabilities make the wanted facets, and in what order."""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from hitl_orchestrator.domain.capability import Capability, Registry

_MAX_NAMED = 50  # facets, and sentences, of an explanation
_MAX_TRIES = 20_000  # of the search; past it the best plan found so far is taken


class Unreachable(NamedTuple):
    """Facets that no allowed capability can make of what is at hand."""

    facets: tuple[str, ...]


def chain(
    capabilities: Sequence[Capability], wanted: Iterable[str], at_hand: Collection[str]
) -> list[Capability] | Unreachable:
    """Return the smallest set of capabilities that makes the wanted facets, in a working order.

    Ties go to what was registered first. Optional inputs never make a plan fail; their makers
    come first where they can.
    """
    goal = [facet for facet in dict.fromkeys(wanted) if facet not in at_hand]
    makeable = reachable(capabilities, at_hand)
    usable = [c for c in capabilities if set(c.inputFacets) <= makeable]
    smallest = _smallest(usable, goal, set(at_hand)) if makeable.issuperset(goal) else None
    if smallest is not None:
        return in_order(smallest, at_hand)
    alone = tuple(
        facet
        for facet in goal
        if facet not in makeable or _smallest(usable, [facet], set(at_hand)) is None
    )
    # each could be made alone, but those that make them disagree
    return Unreachable(alone or tuple(goal))


def explain(
    unreachable: Unreachable,
    registry: Registry,
    capabilities: Sequence[Capability],
    at_hand: Collection[str],
) -> str:
    """Say why these facets cannot be made, and what would help. `capabilities`: those allowed."""
    makeable = reachable(capabilities, at_hand)
    makers: dict[str, Capability] = {}
    for capability in capabilities:
        makers = {**dict.fromkeys(capability.outputFacets, capability), **makers}
    open_facets, told, said = list(unreachable.facets), set[str](), list[str]()
    while open_facets and len(said) < _MAX_NAMED:
        facet = open_facets.pop(0)
        if facet in told:
            continue
        told.add(facet)
        if facet not in makers:
            said.append(f"{_name_missing(facet, registry)}.")
            continue
        missing = [one for one in makers[facet].inputFacets if one not in makeable]
        if not missing:
            said.append(f"What makes {facet} needs a facet that others make in another shape.")
            continue
        needs = [one if one in makers else _name_need(one, registry) for one in missing]
        if told.issuperset(missing):
            needs[-1] += ", so each waits for the other: give one of them as an input"
        said.append(f"{makers[facet].capabilityId} makes {facet}, but needs {' and '.join(needs)}.")
        open_facets += [one for one in missing if one in makers]
    if not all(_list_makers(one, registry) for one in unreachable.facets):
        known = sorted(facet for facet in makeable if facet in makers)
        said.append(f"What can be made: {', '.join(known[:_MAX_NAMED]) or 'nothing'}.")
    return " ".join(said)


def _name_missing(facet: str, registry: Registry) -> str:
    """Say of a facet that no allowed capability makes it."""
    others = _list_makers(facet, registry)
    return f"{others[0]} makes {facet}, but is not allowed" if others else f"Nobody makes {facet}"


def _name_need(facet: str, registry: Registry) -> str:
    others = _list_makers(facet, registry)
    who = f"only {others[0]} makes, which is not allowed" if others else "nobody makes"
    return f"{facet}, which {who}: give it as an input"


def _list_makers(facet: str, registry: Registry) -> list[str]:
    return [name for name, capability in registry.items() if facet in capability.outputFacets]


def in_order(chosen: Collection[Capability], at_hand: Collection[str]) -> list[Capability]:
    """Return an order in which each finds its inputs; shorter if there is none.

    Makers of optional inputs come first where that is no circle.
    """
    left, have, ordered = list(chosen), set(at_hand), list[Capability]()
    while left:
        able = [c for c in left if set(c.inputFacets) <= have]
        if not able:
            break
        following = [c for c in able if not _waits_for_help(c, left, have)]
        ordered.append((following or able)[0])
        left.remove(ordered[-1])
        have |= set(ordered[-1].outputFacets)
    return ordered


def _waits_for_help(capability: Capability, left: Sequence[Capability], have: set[str]) -> bool:
    """Return whether another one that is left makes one of its optional inputs."""
    missing = set(capability.optionalInputFacets) - have
    others = [other for other in left if other is not capability]
    return any(missing & set(other.outputFacets) for other in others)


def reachable(capabilities: Sequence[Capability], at_hand: Collection[str]) -> set[str]:
    have = set(at_hand)
    while (
        more := {f for c in capabilities if set(c.inputFacets) <= have for f in c.outputFacets}
        - have
    ):
        have |= more
    return have


def _smallest(
    capabilities: Sequence[Capability], goal: Sequence[str], at_hand: set[str]
) -> list[Capability] | None:
    """Search by branch and bound: for the first facet not yet made, every maker in its turn.

    The turns are the order of registration. None: no set agrees.
    """
    best = None if any(c.disagreesWith for c in capabilities) else list(capabilities)
    tries = 0

    def search(chosen: list[Capability], open_facets: list[str]) -> None:
        nonlocal best, tries
        tries += 1
        if tries > _MAX_TRIES or (
            best is not None and len(chosen) + bool(open_facets) >= len(best)
        ):
            return
        missing = open_facets[:1] or _stuck(chosen, at_hand)
        if not missing:
            best = chosen
            return
        makers = (
            c
            for c in capabilities
            if not set(missing).isdisjoint(c.outputFacets) and c not in chosen
        )
        for maker in (c for c in makers if not disagree(c, chosen)):
            made = {f for c in (*chosen, maker) for f in c.outputFacets} | at_hand
            search(
                [*chosen, maker],
                [f for f in dict.fromkeys((*open_facets, *maker.inputFacets)) if f not in made],
            )

    search([], list(goal))
    return best


def disagree(maker: Capability, chosen: Sequence[Capability]) -> bool:
    """Return whether one of them takes a facet that the other makes in another shape."""
    return any(
        maker.capabilityId in c.disagreesWith or c.capabilityId in maker.disagreesWith
        for c in chosen
    )


def _stuck(chosen: Sequence[Capability], at_hand: set[str]) -> list[str]:
    """Return facets that a circle among the chosen waits for: one has to come from elsewhere."""
    have = reachable(chosen, at_hand)
    return [facet for capability in chosen for facet in capability.inputFacets if facet not in have]
