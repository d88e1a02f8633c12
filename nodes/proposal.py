"""A model proposes a plan.

It is checked like any other plan; refused twice, the deterministic planner takes over.
"""

from importlib.resources import files

from langchain_openai import ChatOpenAI
from pydantic import BaseModel, Field

from hitl_orchestrator.domain import planning
from hitl_orchestrator.domain.plan import MAX_STEPS
from hitl_orchestrator.domain.records import Json
from hitl_orchestrator.domain.state import Snapshot
from hitl_orchestrator.nodes.model import ask_model, build_prompt
from hitl_orchestrator.nodes.planner import Proposal, Propose
from hitl_orchestrator.nodes.specialist import gather_context

_INSTRUCTIONS = files("hitl_orchestrator.nodes").joinpath("prompts/planner.md")


class Steps(BaseModel):
    capabilityIds: list[str] = Field(max_length=MAX_STEPS)


def build_proposer(model: ChatOpenAI) -> Propose:
    """Return what asks the model for a plan."""

    async def propose(state: Snapshot, task: planning.PlanningTask) -> Proposal:
        def misfit(steps: Steps) -> str | None:
            return "; ".join(planning.problems(task, steps.capabilityIds)) or None

        messages = build_prompt(_INSTRUCTIONS.read_text("utf-8"), _gather(state, task))
        steps, why = await ask_model(model, messages, Steps, misfit)
        return Proposal(steps.capabilityIds if steps else None, why)

    return propose


def _gather(state: Snapshot, task: planning.PlanningTask) -> dict[str, Json]:
    shown = {"capabilityId", "summary", "inputFacets", "optionalInputFacets", "outputFacets"}
    told = {"originAgent", "question", "status", "answer", "reason"}
    return {
        "objective": state.run.objective,
        "wanted": [*task.wanted],
        "atHand": [*sorted(task.at_hand)],
        "capabilities": [
            capability.model_dump(mode="json", include=shown) for capability in task.capabilities
        ],
        "soFar": [one.model_dump(mode="json", include=told) for one in gather_context(state)],
    }
