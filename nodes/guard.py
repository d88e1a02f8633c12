"""The guard: admits or denies the questions of a wave, in order, exactly.

It words each for the person who decides.
"""

from uuid import NAMESPACE_URL, uuid5

from hitl_orchestrator.domain import events
from hitl_orchestrator.domain.capability import Capability, Registry
from hitl_orchestrator.domain.events import Event
from hitl_orchestrator.domain.guards import Judged, Refused, judge
from hitl_orchestrator.domain.hitl import (
    ContractSummary,
    Earlier,
    FacetNames,
    HitlRequest,
    Kind,
    Question,
    RequestStatus,
)
from hitl_orchestrator.domain.outside import find_asker
from hitl_orchestrator.domain.plan import Step
from hitl_orchestrator.domain.progress import asking, is_open
from hitl_orchestrator.domain.state import Asked, Delta, Snapshot, mark_shape


def judge_wave(state: Snapshot, registry: Registry) -> Delta:
    """Judge what the steps of the wave ask, in their order."""
    wave = [(step.stepId, ask) for step, asks in asking(state) for ask in asks]
    judged = judge(state.run, list(state.questions.values()), wave)
    asked: list[Asked] = []
    for one in judged:
        asked.append(_put(state, registry, one, asked))
    happened = tuple(_report_repeat(one) for one in asked if one.repeats)
    return Delta(questions={one.request.requestId: one for one in asked}, events=happened)


def _put(state: Snapshot, registry: Registry, judged: Judged, this_wave: list[Asked]) -> Asked:
    """Make the request of a question that was judged."""
    steps = state.plan.steps if state.plan else ()
    step = next(step for step in steps if step.stepId == judged.step_id)
    known = (*state.questions.values(), *this_wave)
    earlier = [asked for asked in known if asked.request.stepId == judged.step_id]
    alike = [asked for asked in earlier if asked.fingerprint == judged.fingerprint]
    refused = judged.verdict if isinstance(judged.verdict, Refused) else None
    # a replay makes the same
    unique = uuid5(NAMESPACE_URL, f"{state.run.runId}/{judged.step_id}/{len(earlier)}")
    request = _build_request(
        state, registry[step.capabilityId], step, judged, f"hitl_{unique.hex}"
    ).but(
        attempt=1 + len(alike),
        earlier=tuple(_look_back(asked) for asked in alike),
        status=RequestStatus.DENIED if refused else RequestStatus.PENDING,
        denialReason=refused.reason if refused else None,
    )
    return Asked(
        request=request,
        fingerprint=judged.fingerprint,
        keys=(judged.ask.key,),
        agentFingerprint=mark_shape(registry[step.capabilityId].fingerprint),
        repeats=refused.repeats if refused else None,
        cause=refused.cause if refused else None,
        expiresInSeconds=judged.ask.question.expiresInSeconds or state.run.requestTtlSeconds,
    )


def _build_request(
    state: Snapshot, capability: Capability, step: Step, judged: Judged, request_id: str
) -> HitlRequest:
    question = judged.ask.question
    return HitlRequest(
        requestId=request_id,
        runId=state.run.runId,
        threadId=state.run.threadId,
        stepId=step.stepId,
        originAgent=find_asker(state.run) or capability.capabilityId,
        status=RequestStatus.PENDING,
        kind=question.kind,
        question=question.question,
        options=question.options,
        allowFreeForm=question.allowFreeForm,
        urgency=question.urgency,
        additionalContext=question.additionalContext,
        action=question.action,
        responseSchema=question.responseSchema,
        payload=question.payload,
        operatorPrompt=word_operator_prompt(state, step, judged),
        pendingNodeId=capability.capabilityId,
        contractSummary=_summarize(state, capability, step),
    )


def _look_back(asked: Asked) -> Earlier:
    request = asked.request
    return Earlier(
        requestId=request.requestId,
        status=request.status,
        answer=asked.answer,
        denialReason=request.denialReason,
    )


def word_operator_prompt(state: Snapshot, step: Step, judged: Judged) -> str:
    """Say what the person should look at and decide."""
    steps = state.plan.steps if state.plan else ()
    version = state.plan.version if state.plan else 0
    later = [s.label for s in steps if is_open(state, s) and s.stepId != step.stepId]
    question = judged.ask.question
    where = f"step {steps.index(step) + 1} of {len(steps)}, plan version {version}"
    follows = f"Then: {', '.join(later)}." if later else "It is the last step."
    asker = find_asker(state.run) or step.label
    return (
        f"{asker} ({where}) works on: “{_shorten(state.run.objective)}”."
        f" It asks: {_shorten(question.question)} {_word_task(question)}. {follows}"
    )


def _word_task(question: Question) -> str:
    match question.kind:
        case Kind.CHOICE:
            choose = f"Choose one of {len(question.options)} options"
            return f"{choose}, or answer in your own words" if question.allowFreeForm else choose
        case Kind.FREEFORM:
            return "Answer in your own words"
        case Kind.FORM:
            return "Fill in the form"
        case Kind.OPEN:
            return "Say yes, answer in your own words or with any JSON, or reject"
        case Kind.APPROVAL if question.action:
            allowed = ", ".join(question.action.allowedDecisions)
            return f"Decide on the action `{question.action.name}`: {allowed}"
        case _:
            return "Approve or reject"


def _shorten(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 300 else line[:299] + "…"


def _summarize(state: Snapshot, capability: Capability, step: Step) -> ContractSummary:
    return ContractSummary(
        nodeId=capability.capabilityId,
        nodeLabel=find_asker(state.run) or step.label,
        capabilityId=capability.capabilityId,
        capabilityLabel=find_asker(state.run) or capability.displayName,
        planVersion=state.plan.version if state.plan else 0,
        facets=FacetNames(input=step.inputFacets, output=step.outputFacets),
        contract=capability.contract,
    )


def _report_repeat(asked: Asked) -> Event:
    request = asked.request
    return Event(
        kind=events.EventKind.WARNED,
        message=f"{request.originAgent} asks again what was denied: {request.denialReason}",
        stepId=request.stepId,
        originAgent=request.originAgent,
        data={"stepId": request.stepId, "from": request.originAgent, "repeats": asked.repeats},
    )
