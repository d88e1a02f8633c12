"""The agents that runs are planned over: those of this process, and those that have registered.

As these come and go, what drives runs is made anew.
"""

import logging
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from hitl_orchestrator.domain.assignments import RegisteredAgent
from hitl_orchestrator.domain.capability import Registry
from hitl_orchestrator.domain.errors import ConfigurationError
from hitl_orchestrator.domain.needs import list_offers
from hitl_orchestrator.domain.outside import OUTSIDE
from hitl_orchestrator.graph.build import Graph
from hitl_orchestrator.nodes.agents import Agent, build_registry
from hitl_orchestrator.nodes.elsewhere import read_registration
from hitl_orchestrator.nodes.inspection import Inspector

_log = logging.getLogger("hitl.roster")


class Plugged(NamedTuple):
    """What a process drives runs with. `offers`: what of it runs may need.

    `registry`: of who can be planned with; `outside`: of who asks what programs elsewhere ask.
    """

    registry: Registry
    outside: Registry
    graph: Graph
    inspector: Inspector
    offers: list[str]


class Roster:
    """`build` makes the graph over some agents, `inspect` what looks at their threads.

    `plug`: told of what is plugged in, whenever that changes.
    """

    def __init__(
        self,
        local: Sequence[Agent],
        build: Callable[[Sequence[Agent]], Graph],
        inspect: Callable[[Sequence[Agent], frozenset[str]], Inspector],
    ) -> None:
        self.local = local
        self._build = build
        self._inspect = inspect
        self._known: tuple[RegisteredAgent, ...] = ()
        self._own = frozenset(agent.capability.capabilityId for agent in local)
        self.plug: Callable[[Plugged], None] = lambda plugged: None
        self.plugged = self._plug_in(local, build(local))

    def learn(self, known: Sequence[RegisteredAgent]) -> None:
        """Make anew what has changed."""
        if (now := tuple(known)) == self._known:
            return
        has_changed = [one[:2] for one in now] != [one[:2] for one in self._known]
        self._known = now
        agents = [*self.local, *read_registered(now, self._own)]
        graph = self._build(agents) if has_changed else self.plugged.graph
        self.plugged = self._plug_in(agents, graph)
        self.plug(self.plugged)

    def check(self, newcomer: Agent) -> None:
        """Raise ConfigurationError where it cannot be plugged in beside the others."""
        name = newcomer.capability.capabilityId
        known = [one for one in self._known if one.capability_id != name]
        self._build([*self.local, *read_registered(known, self._own), newcomer])

    def is_own(self, capability_id: str) -> bool:
        """Tell whether an agent of this process has that id."""
        return capability_id in self._own

    def _plug_in(self, agents: Sequence[Agent], graph: Graph) -> Plugged:
        registry = build_registry(agents)
        away = frozenset(one.capability_id for one in self._known if not one.is_alive)
        return Plugged(
            {name: one for name, one in registry.items() if name != OUTSIDE},
            {name: one for name, one in registry.items() if name == OUTSIDE},
            graph,
            self._inspect(agents, away),
            sorted(list_offers(registry)),
        )


def read_registered(known: Sequence[RegisteredAgent], own: Collection[str]) -> list[Agent]:
    """Return those that can be plugged in here: of an id that an agent here has, that one."""
    agents: list[Agent] = []
    for one in known:
        if one.capability_id in own:
            continue
        try:
            agents.append(read_registration(one.capability_id, one.registration))
        except ConfigurationError as error:
            _log.warning("agent %s is left out: %s", one.capability_id, error.detail)
    return agents
