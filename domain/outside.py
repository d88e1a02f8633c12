"""Agents that run anywhere and ask over HTTP: each question is a run of one step of our own."""

from typing import NamedTuple

from pydantic import Field

from hitl_orchestrator.domain.hitl import AnsweredRequest, HitlRequest, RequestStatus
from hitl_orchestrator.domain.records import Json, JsonObject, Record
from hitl_orchestrator.domain.run import NewRun, Run
from hitl_orchestrator.domain.state import RunSettings

OUTSIDE = "outside.question"  # the capability
ASKED, ANSWER = "outside.asked", "outside.answer"  # its facets


class OutsideAgent(NamedTuple):
    """Who asks, and within which group of questions the limit counts; None: each by itself."""

    name: str
    group: str | None = None


class NewQuestion(Record):
    """What an agent elsewhere asks. `payload`: as it would be handed to `interrupt()`.

    `responseSchema`: of the answer's data, where the payload is not of our own form.
    """

    payload: Json
    responseSchema: JsonObject | None = None
    maxHitlRequests: int | None = None
    expiresInSeconds: float | None = None
    metadata: JsonObject = Field(default_factory=dict)

    def plan_run(self, objective: str, asker: str) -> NewRun:
        asked: JsonObject = {
            "payload": self.payload,
            "responseSchema": self.responseSchema,
            "originAgent": asker,
        }
        return NewRun(
            objective=objective,
            inputs={ASKED: asked},
            outputs=(ANSWER,),
            agents=(OUTSIDE,),
            maxHitlRequests=self.maxHitlRequests,
            metadata=self.metadata,
        )


def find_asker(run: RunSettings) -> str | None:
    """Return who asks; None: the agents here do."""
    if run.agents != (OUTSIDE,):
        return None
    asked = run.inputs.get(ASKED)
    return str(asked["originAgent"]) if isinstance(asked, dict) else None


def has_ended_outside(request: HitlRequest) -> bool:
    """Tell whether its answer is what a run of its own made of it."""
    return request.pendingNodeId == OUTSIDE and request.status is not RequestStatus.PENDING


def tell_answer(request: AnsweredRequest, run: Run) -> AnsweredRequest:
    """Return it with what `interrupt()` returned; None: nothing yet, or nothing for a refusal."""
    made = run.facets.get(ANSWER)
    return request.but(answer=made.value if made else None)
