"""What a start has loaded, for the person at the terminal."""

from collections.abc import Sequence

from hitl_orchestrator.domain.capability import describe_contract
from hitl_orchestrator.nodes.agents import Agent
from hitl_orchestrator.server.steering import drop_steering


def tell_loaded(agents: Sequence[Agent]) -> None:
    """Print a line for each agent that an entry names: id, facets, and where it is from."""
    named = [agent for agent in agents if agent.entry]
    print(f"Agents: {len(named)}", flush=True)  # noqa: T201
    for agent in named:
        line = f"  {describe_contract(agent.capability)}   from {agent.entry}"
        print(drop_steering(line), flush=True)  # noqa: T201
