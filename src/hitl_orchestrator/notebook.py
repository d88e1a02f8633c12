"""A run in a notebook: superstep by superstep, drawn, forked; without server and database.

At any prompt that awaits:

    from hitl_orchestrator.notebook import begin

    run = begin("my_agent.py:agent", "Announce it")
    await run.step()      # what one superstep changed
    await run.go_on()     # until it waits, or has ended
    run.answer("dev")     # True, False, an option, a text, data
    run.draw()            # the graph, and where the run stands
    run.history()         # a line a superstep
    other = run.fork(3)   # where it stood after superstep 3
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from hitl_orchestrator.domain.state import RunSettings
from hitl_orchestrator.graph import decisions, tables
from hitl_orchestrator.graph.picture import Drawing, draw
from hitl_orchestrator.graph.stepping import Stepping, Superstep
from hitl_orchestrator.graph.trial import list_outputs
from hitl_orchestrator.nodes.agents import build_registry
from hitl_orchestrator.testing import read_agents

__all__ = ["Beside", "Drawing", "Stepping", "Superstep", "as_agent", "begin", "draw", "put_beside"]


@dataclass(frozen=True, repr=False)
class Beside:
    """Runs side by side."""

    runs: Mapping[str, Stepping]

    def __repr__(self) -> str:
        return "\n".join(f"{name}: {run!r}" for name, run in self.runs.items())

    def _repr_html_(self) -> str:
        pages = {name: tables.write_run(run.state, run.settled) for name, run in self.runs.items()}
        return tables.write_beside(pages)


def begin(
    agents: object,
    objective: str = "Try it",
    inputs: Mapping[str, Any] | None = None,
    outputs: Sequence[str] = (),
    *,
    max_questions: int = 3,
    run_id: str = "run_by_hand",
) -> Stepping:
    """Return a run that is about to begin, in memory.

    `agents`: a mapping, a graph, a list of them, or an entry as in HITL_AGENTS (`"file.py:name"`).
    `outputs`: the facets that are wanted, by default all. What is asked beyond `max_questions` is
    denied, as on a server. Raise ConfigurationError for what is no agent, and Invalid where what is
    wanted cannot be made of what is there.
    """
    read = read_agents(agents)
    settings = RunSettings(
        runId=run_id,
        threadId=run_id,
        objective=objective,
        inputs={**(inputs or {})},
        outputs=tuple(outputs) or list_outputs(read),
        maxHitlRequests=max_questions,
    )
    decisions.start(build_registry(read), settings, {}, datetime.now(UTC))  # whether it can be
    return Stepping(read, settings)


def as_agent(run: Callable[..., Any], *takes: str) -> dict[str, Any]:
    """Return the mapping of a small agent: it makes the facet of its function's name.

    `takes`: the facets that it needs; none: the objective.
    """
    name = run.__name__
    return {
        "capabilityId": f"agent.{name}",
        "displayName": name.capitalize(),
        "inputFacets": [*takes] or ["objective"],
        "outputFacets": [name],
        "run": run,
    }


def put_beside(**runs: Stepping) -> Beside:
    """Put runs side by side, by what they are called here: their plans, answers and outputs."""
    return Beside(runs)
