"""Guards: limits, the tally and earlier denials -> a verdict.

Exact, because one function judges a whole wave in its order.
"""

from collections.abc import Sequence
from typing import NamedTuple

from hitl_orchestrator.domain.asking import fingerprint
from hitl_orchestrator.domain.events import Cause
from hitl_orchestrator.domain.hitl import MAX_DENIALS, MAX_REPEATS, RequestStatus
from hitl_orchestrator.domain.state import Ask, Asked, RunSettings

LIMIT_REASON = "Too many HITL requests"
DISABLED_REASON = "HITL is disabled"
EXPIRED_REASON = "Expired"


class Admitted(NamedTuple):
    pass


class Refused(NamedTuple):
    """`repeats`: the request whose denial is repeated; it counted when it was first denied."""

    reason: str
    cause: Cause | None = None
    repeats: str | None = None


Verdict = Admitted | Refused


class Judged(NamedTuple):
    """A question with its verdict."""

    step_id: str
    ask: Ask
    fingerprint: str
    verdict: Verdict


def judge(
    run: RunSettings, known: Sequence[Asked], wave: Sequence[tuple[str, Ask]]
) -> list[Judged]:
    """Return a verdict on each question of a wave; however alike, each is one of its own.

    `wave`: (stepId, question) in the order of the plan's steps and, in a step, as LangGraph lists
    them. What a guard or an operator denied stays denied; what a person answered or rejected may
    be asked again.
    """
    admitted = sum(1 for asked in known if counts(asked))
    denials: dict[tuple[str, str], Asked] = {}
    for asked in known:
        if _is_denied_for_good(asked):
            denials[asked.request.stepId, asked.fingerprint] = asked
    judged: list[Judged] = []
    for step_id, ask in wave:
        print_ = fingerprint(ask.question)
        verdict: Verdict = Admitted()
        if before := denials.get((step_id, print_)):
            verdict = Refused(before.refusal or "", repeats=before.request.requestId)
        elif ask.question.unshowable is not None:
            verdict = Refused(ask.question.unshowable, Cause.UNSHOWABLE)
        elif not run.hitlEnabled:
            verdict = Refused(DISABLED_REASON, Cause.DISABLED)
        elif admitted >= run.maxHitlRequests:
            verdict = Refused(LIMIT_REASON, Cause.LIMIT)
        admitted += isinstance(verdict, Admitted)
        judged.append(Judged(step_id, ask, print_, verdict))
    return judged


def _is_denied_for_good(asked: Asked) -> bool:
    """Tell whether a guard or an operator denied it. What ended with its run is asked again."""
    is_first = asked.repeats is None and asked.cause is not Cause.REMOVED
    return is_first and asked.request.status is RequestStatus.DENIED


def counts(asked: Asked) -> bool:
    """Tell whether it took one of the run's questions: it was put to a person."""
    return asked.repeats is None and (asked.waits or asked.answer is not None)


def insists(known: Sequence[Asked], step_id: str) -> bool:
    """Tell whether the step has asked denied questions too often, again or in ever new words."""
    denied = [
        asked
        for asked in known
        if asked.request.stepId == step_id and asked.request.status is RequestStatus.DENIED
    ]
    repeated = sum(asked.repeats is not None for asked in denied)
    return repeated > MAX_REPEATS or len(denied) - repeated > MAX_DENIALS
