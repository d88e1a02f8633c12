"""The dialects that ask whether to act: LangChain's and Agent Inbox's. Both know a no."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple, cast

from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from hitl_orchestrator.domain.asking import parse_question
from hitl_orchestrator.domain.errors import Invalid, NotAQuestion
from hitl_orchestrator.domain.hitl import (
    Action,
    Answer,
    Decision,
    Denied,
    Question,
    ResponseType,
)
from hitl_orchestrator.domain.records import Json, JsonObject

# a description of an action that is longer, or of several lines, is context and not the question
HEADLINE_LENGTH = 300
_DECISIONS = [*Decision]


class RefusalNotAllowed(Invalid):
    """Somebody said no, and the agent allows no answer that says so. `detail` is their reason."""


class Exchange(NamedTuple):
    """What was asked; how to put an answer into the agent's words, and all of them together."""

    questions: list[Question]
    word: Callable[[Question, Answer], Json]
    join: Callable[[list[Json]], Json]


class _ActionRequest(BaseModel):
    name: str
    args: JsonObject = Field(default_factory=dict)
    description: str | None = None


def _leave_out_unknown(words: object) -> object:
    """Leave out what LangChain may add to its decisions; a person is offered what we know."""
    if not isinstance(words, list | tuple):
        return words
    return [word for word in cast(Sequence[object], words) if word in _DECISIONS]


_Decisions = Annotated[
    tuple[Decision, ...], BeforeValidator(_leave_out_unknown), Field(min_length=1)
]


class _ReviewConfig(BaseModel):
    action_name: str
    allowed_decisions: _Decisions
    args_schema: JsonObject | None = None


class _HITLRequest(BaseModel):
    action_requests: Annotated[tuple[_ActionRequest, ...], Field(min_length=1)]
    review_configs: tuple[_ReviewConfig, ...] = ()


class _InboxAction(BaseModel):
    action: str
    args: JsonObject = Field(default_factory=dict)


class _HumanInterrupt(BaseModel):
    action_request: _InboxAction
    config: dict[str, bool]
    description: str | None = None


_INBOX_FLAGS = {
    "allow_accept": Decision.APPROVE,
    "allow_edit": Decision.EDIT,
    "allow_ignore": Decision.REJECT,
    "allow_respond": Decision.RESPOND,
}


def read_approvals(plain: Any, schema: JsonObject | None) -> Exchange | None:
    """Read LangChain's and Agent Inbox's. None: it is none of them, or only looks like one."""
    try:
        match plain:
            case {"action_requests": [*_]}:
                return _read_hitl_request(_HITLRequest.model_validate(plain))
            case {"type": "tool_approval"}:
                return _read_tool_approval(_ActionRequest.model_validate(plain), schema)
            case {"action_request": {"action": _}} | [{"action_request": {"action": _}}]:
                only: Any = cast(list[Any], plain)[0] if isinstance(plain, list) else plain
                return _read_human_interrupt(_HumanInterrupt.model_validate(only))
            case _:
                return None
    except (ValidationError, NotAQuestion):
        return None


def _read_hitl_request(request: _HITLRequest) -> Exchange:
    """Read LangChain's, as HumanInTheLoopMiddleware raises it: a question for each action."""
    configs = {config.action_name: config for config in request.review_configs}
    questions = [_ask(action, configs.get(action.name)) for action in request.action_requests]
    return Exchange(questions, _word_for_langchain, _list_decisions)


def _read_tool_approval(request: _ActionRequest, schema: JsonObject | None) -> Exchange:
    """Read the same middleware's with `interrupt_mode="per_call"`.

    What it allows is in the interrupt's `response_schema`.
    """
    config = _read_review_config(request.name, schema) if schema else None
    return Exchange([_ask(request, config)], _word_for_langchain, take_only)


def _read_review_config(name: str, schema: Mapping[str, Any]) -> _ReviewConfig:
    """Read what a `response_schema` allows: it has one branch for each decision.

    That of `edit` holds the schema of the tool's arguments.
    """
    definitions = schema.get("$defs", {})

    def properties(of: Mapping[str, Any]) -> dict[str, Any]:
        name = of.get("$ref", "").removeprefix("#/$defs/")
        return definitions.get(name, of).get("properties", {})

    branches: dict[Any, dict[str, Any]] = {}
    for branch in map(properties, schema.get("oneOf", [schema])):
        branches[branch.get("type", {}).get("const")] = branch
    edited_action = branches.get("edit", {}).get("edited_action", {})
    args = properties(edited_action).get("args")
    args_schema = {**args, "$defs": definitions} if args else None
    return _ReviewConfig.model_validate(
        {"action_name": name, "allowed_decisions": [*branches], "args_schema": args_schema}
    )


def _list_decisions(said: list[Json]) -> Json:
    return {"decisions": said}


def take_only(said: list[Json]) -> Json:
    return said[0]


def _read_human_interrupt(request: _HumanInterrupt) -> Exchange:
    """Read Agent Inbox's. It is answered by a list of one, also when it came without its list."""
    action = _ActionRequest(
        name=request.action_request.action,
        args=request.action_request.args,
        description=request.description,
    )
    allowed = tuple(decision for flag, decision in _INBOX_FLAGS.items() if request.config.get(flag))
    config = _ReviewConfig(action_name=action.name, allowed_decisions=allowed)
    return Exchange([_ask(action, config)], _word_for_inbox, list)


def _ask(request: _ActionRequest, config: _ReviewConfig | None) -> Question:
    """Return the question about an action.

    `responseSchema` is that of the arguments, where it is known: what a person edits can be
    checked against it.
    """
    description = (request.description or "").strip()
    is_headline = 0 < len(description) <= HEADLINE_LENGTH and "\n" not in description
    action: dict[str, Any] = {"name": request.name, "arguments": request.args}
    if config is not None:
        action["allowedDecisions"] = config.allowed_decisions
    question = parse_question(
        {
            "question": description if is_headline else f"Run {request.name}?",
            "action": action,
            "responseSchema": config and config.args_schema,
        }
    )
    # not measured with the action: LangChain's description repeats the arguments
    return question.but(additionalContext=None if is_headline else description or None)


def _word_for_langchain(question: Question, answer: Answer) -> JsonObject:
    action, decision, given = _decide(question, answer)
    match decision:
        case Decision.APPROVE:
            return {"type": "approve"}
        case Decision.EDIT:
            return {"type": "edit", "edited_action": {"name": action.name, "args": given}}
        case Decision.REJECT | Decision.RESPOND:
            return {"type": decision.value, "message": given}


def _word_for_inbox(question: Question, answer: Answer) -> JsonObject:
    action, decision, given = _decide(question, answer)
    match decision:
        case Decision.APPROVE:
            return {"type": "accept", "args": {"action": action.name, "args": action.arguments}}
        case Decision.EDIT:
            return {"type": "edit", "args": {"action": action.name, "args": given}}
        case Decision.REJECT:
            return {"type": "ignore", "args": None}
        case Decision.RESPOND:
            return {"type": "response", "args": given}


def _decide(question: Question, answer: Answer) -> tuple[Action, Decision, Json]:
    """Return the action, the decision about it, and what goes with it.

    That is edited arguments, a reason or a text. Raise RefusalNotAllowed.
    """
    action = cast(Action, question.action)
    if isinstance(answer, Denied):
        if refusal := find_refusal(action):
            return action, refusal, answer.reason
        raise RefusalNotAllowed(answer.reason)
    if answer.editedArguments is not None:
        return action, Decision.EDIT, answer.editedArguments
    if answer.responseType is ResponseType.FREEFORM:
        return action, Decision.RESPOND, answer.freeformText
    return action, Decision.APPROVE, None


def find_refusal(action: Action | None) -> Decision | None:
    """Return how a no is said, where the action allows it to be said."""
    allowed = action.allowedDecisions if action else ()
    return next((each for each in (Decision.REJECT, Decision.RESPOND) if each in allowed), None)
