"""The guard: admits or denies the questions of a wave, in order, exactly, and words each for the
person who decides.
"""

from typing import Any
from uuid import NAMESPACE_URL, uuid5

from hitl_orchestrator.domain import events
from hitl_orchestrator.domain.capability import Capability, Registry
from hitl_orchestrator.domain.events import Event
from hitl_orchestrator.domain.guards import Judged, Refused, judge
from hitl_orchestrator.domain.hitl import (
    ContractSummary,
    FacetNames,
    HitlRequest,
    Kind,
    RequestStatus,
)
from hitl_orchestrator.domain.plan import Step
from hitl_orchestrator.domain.progress import asking, is_open, next_wave
from hitl_orchestrator.domain.state import Asked, Snapshot, State
from hitl_orchestrator.nodes.planner import handed_over
from hitl_orchestrator.nodes.specialist import Node


def guard(registry: Registry) -> Node:
    async def node(state_json: State) -> dict[str, Any]:
        state = Snapshot.of(state_json)
        wave = [(step.stepId, ask) for step, asks in asking(state) for ask in asks]
        judged = judge(state.run, list(state.questions.values()), wave)
        asked, happened = list[Asked](), list[Event]()
        for one in judged:
            asked.append(_asked(state, registry, one, asked))
            if asked[-1].repeats:
                happened.append(_repeated(asked[-1]))
        if not wave:
            happened += handed_over(next_wave(state))
        return {
            "questions": {one.request.requestId: one.json_object() for one in asked},
            "events": [event.json_object() for event in happened],
        }

    return node


def _asked(state: Snapshot, registry: Registry, judged: Judged, this_wave: list[Asked]) -> Asked:
    step = next(
        step for step in (state.plan.steps if state.plan else ()) if step.stepId == judged.step_id
    )
    earlier = [
        a for a in (*state.questions.values(), *this_wave) if a.request.stepId == judged.step_id
    ]
    refused = judged.verdict if isinstance(judged.verdict, Refused) else None
    # a replay makes the same
    request_id = (
        f"hitl_{uuid5(NAMESPACE_URL, f'{state.run.runId}/{judged.step_id}/{len(earlier)}').hex}"
    )
    request = _request(state, registry[step.capabilityId], step, judged, request_id).but(
        attempt=1 + sum(a.fingerprint == judged.fingerprint for a in earlier),
        status=RequestStatus.DENIED if refused else RequestStatus.PENDING,
        denialReason=refused.reason if refused else None,
    )
    return Asked(
        request=request,
        fingerprint=judged.fingerprint,
        keys=judged.keys,
        repeats=refused.repeats if refused else None,
        cause=refused.cause if refused else None,
        expiresInSeconds=judged.ask.question.expiresInSeconds or state.run.requestTtlSeconds,
    )


def _request(
    state: Snapshot, capability: Capability, step: Step, judged: Judged, request_id: str
) -> HitlRequest:
    question = judged.ask.question
    return HitlRequest(
        requestId=request_id,
        runId=state.run.runId,
        threadId=state.run.threadId,
        stepId=step.stepId,
        originAgent=capability.capabilityId,
        status=RequestStatus.PENDING,
        kind=question.kind,
        question=question.question,
        options=question.options,
        allowFreeForm=question.allowFreeForm,
        urgency=question.urgency,
        additionalContext=question.additionalContext,
        action=question.action,
        responseSchema=question.responseSchema,
        operatorPrompt=operator_prompt(state, step, judged),
        pendingNodeId=capability.capabilityId,
        contractSummary=_summary(state, capability, step),
    )


def operator_prompt(state: Snapshot, step: Step, judged: Judged) -> str:
    """What the person should look at and decide."""
    steps = state.plan.steps if state.plan else ()
    later = [s.label for s in steps if is_open(state, s) and s.stepId != step.stepId]
    question = judged.ask.question
    match question.kind:
        case Kind.CHOICE:
            todo = f"Choose one of {len(question.options)} options" + (
                ", or answer in your own words" if question.allowFreeForm else ""
            )
        case Kind.FREEFORM:
            todo = "Answer in your own words"
        case Kind.FORM:
            todo = "Fill in the form"
        case Kind.APPROVAL if question.action:
            todo = f"Decide on the action `{question.action.name}`: {', '.join(question.action.allowedDecisions)}"
        case _:
            todo = "Approve or reject"
    follows = f"Then: {', '.join(later)}." if later else "It is the last step."
    where = f"step {steps.index(step) + 1} of {len(steps)}, plan version {state.plan.version if state.plan else 0}"
    return f"{step.label} ({where}) works on: “{_short(state.run.objective)}”. It asks: {_short(question.question)} {todo}. {follows}"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 300 else line[:299] + "…"


def _summary(state: Snapshot, capability: Capability, step: Step) -> ContractSummary:
    return ContractSummary(
        nodeId=capability.capabilityId,
        nodeLabel=step.label,
        capabilityId=capability.capabilityId,
        capabilityLabel=capability.displayName,
        planVersion=state.plan.version if state.plan else 0,
        facets=FacetNames(input=step.inputFacets, output=step.outputFacets),
        contract=capability.contract,
    )


def _repeated(asked: Asked) -> Event:
    request = asked.request
    return Event(
        kind=events.Kind.WARNED,
        message=f"{request.originAgent} asks again what was denied: {request.denialReason}",
        stepId=request.stepId,
        originAgent=request.originAgent,
        data={"stepId": request.stepId, "from": request.originAgent, "repeats": asked.repeats},
    )
