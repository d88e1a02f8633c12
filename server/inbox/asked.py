"""A question as a page shows it: it, its run, what was typed so far, and what was wrong with it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hitl_orchestrator.domain.hitl import (
    Decision,
    HitlRequest,
    HitlResponse,
    Kind,
    RequestStatus,
    Urgency,
)
from hitl_orchestrator.domain.records import JsonObject
from hitl_orchestrator.domain.resolutions import (
    Resolution,
    find_decider,
    find_outcome,
    read_audit,
)
from hitl_orchestrator.domain.run import Run
from hitl_orchestrator.server.inbox.fields import Field, build_fields
from hitl_orchestrator.server.inbox.schema_parts import infer_schema
from hitl_orchestrator.server.orchestrator import Orchestrator

ASKS = {
    Kind.APPROVAL: "asks for approval",
    Kind.CHOICE: "asks you to choose",
    Kind.FREEFORM: "asks a question",
    Kind.FORM: "asks you to fill in a form",
    Kind.OPEN: "asks",
}


@dataclass(frozen=True)
class ShownQuestion:
    """`errors`: a message by the name of an input; `problem`: one that belongs to none."""

    request: HitlRequest
    run: Run
    typed: Mapping[str, str] = field(default_factory=dict[str, str])
    errors: Mapping[str, str] = field(default_factory=dict[str, str])
    problem: str = ""
    editing: bool = False

    @property
    def is_pending(self) -> bool:
        return self.request.status is RequestStatus.PENDING

    @property
    def takes_decision(self) -> bool:
        return self.is_pending and self.run.held is None

    @property
    def asks(self) -> str:
        return ASKS[self.request.kind]

    @property
    def mode(self) -> str:
        """Return what of the bar is open: what was wrong with it, if anything was."""
        decision = self.typed.get("decision", "") if self.errors or self.problem else ""
        modes = {"reject": "reject", "cancel": "cancel", "write": "respond"}
        return modes.get(decision, "") if decision != "write" or self.can_respond else ""

    @property
    def allowed(self) -> frozenset[Decision]:
        """What the action allows; without one to approve or to reject."""
        action = self.request.action
        both = (Decision.APPROVE, Decision.REJECT)
        return frozenset(action.allowedDecisions if action else both)

    @property
    def can_edit(self) -> bool:
        return self.request.action is not None and Decision.EDIT in self.allowed

    @property
    def can_respond(self) -> bool:
        return self.request.action is not None and Decision.RESPOND in self.allowed

    @property
    def needs_confirmation(self) -> bool:
        return self.request.urgency is Urgency.HIGH

    @property
    def proposed(self) -> JsonObject | None:
        """Return the arguments that the action would run with; None: there is no action."""
        return self.request.action.arguments if self.request.action else None

    @property
    def schema(self) -> JsonObject:
        """Return that of the form, or of the action's arguments."""
        action = self.request.action
        if action is None or self.request.responseSchema:
            return self.request.responseSchema or {}
        return infer_schema(action.arguments)

    @property
    def fields(self) -> list[Field]:
        action = self.request.action
        return build_fields(
            self.schema,
            self.proposed,
            self.errors,
            by_names=action is not None,
            typed=self.typed or None,
        )

    @property
    def outcome(self) -> Resolution:
        return find_outcome(self.request, read_audit(self.run))

    @property
    def given(self) -> HitlResponse | None:
        """Return the response that decided it; None: it was not answered."""
        return find_decider(self.request) if self.request.responses else None

    @property
    def written(self) -> list[tuple[str, str]]:
        """Return what was typed, by the fields' names, to be copied where it was not taken."""
        named = {"text": "Answer", "reason": "Reason", "note": "Note"}
        named |= {one: one[1:].replace("/", " › ") for one in self.typed if one.startswith("/")}
        return [(label, self.typed[one]) for one, label in named.items() if self.typed.get(one)]

    @property
    def siblings(self) -> list[HitlRequest]:
        """Return all questions of its run that wait, in the run's order."""
        return [one for one in self.run.requests if one.status is RequestStatus.PENDING]

    @property
    def earlier(self) -> list[tuple[HitlRequest, Resolution]]:
        """Return the run's other questions that have ended, and how."""
        audit = read_audit(self.run)
        ended = [
            one
            for one in self.run.requests
            if one.requestId != self.request.requestId and one.status is not RequestStatus.PENDING
        ]
        return [(one, find_outcome(one, audit)) for one in ended]

    @property
    def number(self) -> int:
        """Return which of the run's questions it is, of those that were put to people."""
        put = [one["requestId"] for one in read_audit(self.run) if one["action"] == "request"]
        own = self.request.requestId
        return put.index(own) + 1 if own in put else 0

    def but(self, **changes: Any) -> "ShownQuestion":
        return replace(self, **changes)


async def load_asked(
    hitl: Orchestrator, request_id: str, typed: Mapping[str, str] | None = None
) -> ShownQuestion:
    """Return the question as it is now. Raise NotFound."""
    found = await hitl.request(request_id)
    run = await hitl.run(found.runId)
    request = next(one for one in run.requests if one.requestId == request_id)
    return ShownQuestion(request, run, typed or {})
