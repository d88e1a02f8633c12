"""A model proposes a plan. It is checked like any other plan; refused twice, the deterministic
planner takes over.
"""

from importlib.resources import files

from langchain_openai import ChatOpenAI
from pydantic import BaseModel, Field

from hitl_orchestrator.domain import planning
from hitl_orchestrator.domain.plan import MAX_STEPS
from hitl_orchestrator.domain.records import Json
from hitl_orchestrator.domain.state import Snapshot
from hitl_orchestrator.nodes.model import prompt, structured
from hitl_orchestrator.nodes.planner import Proposal, Propose
from hitl_orchestrator.nodes.specialist import context_of

_INSTRUCTIONS = files("hitl_orchestrator.nodes").joinpath("prompts/planner.md")


class Steps(BaseModel):
    capabilityIds: list[str] = Field(max_length=MAX_STEPS)


def proposer(model: ChatOpenAI) -> Propose:
    async def propose(state: Snapshot, task: planning.Task) -> Proposal:
        def misfit(steps: Steps) -> str | None:
            return "; ".join(planning.problems(task, steps.capabilityIds)) or None

        steps, why = await structured(
            model, prompt(_INSTRUCTIONS.read_text("utf-8"), _data(state, task)), Steps, misfit
        )
        return Proposal(steps.capabilityIds if steps else None, why)

    return propose


def _data(state: Snapshot, task: planning.Task) -> dict[str, Json]:
    shown = {"capabilityId", "summary", "inputFacets", "optionalInputFacets", "outputFacets"}
    told = {"originAgent", "question", "status", "answer", "reason"}
    return {
        "objective": state.run.objective,
        "wanted": [*task.wanted],
        "atHand": [*sorted(task.at_hand)],
        "capabilities": [
            capability.model_dump(mode="json", include=shown) for capability in task.capabilities
        ],
        "soFar": [one.model_dump(mode="json", include=told) for one in context_of(state)],
    }
