"""What agents hand to `interrupt()` and how they want to be answered: the table of contract section
8.

`payloads(value)` -> its questions in our form, one or several; `reply(value, answers)` -> what
`interrupt()` returns.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple, cast

from pydantic import BaseModel, Field, ValidationError
from pydantic_core import PydanticSerializationError, to_jsonable_python

from hitl_orchestrator.domain.asking import parse_question
from hitl_orchestrator.domain.errors import Invalid, NotAQuestion
from hitl_orchestrator.domain.hitl import (
    Action,
    Answer,
    Decision,
    Denied,
    Kind,
    Question,
    ResponseType,
)
from hitl_orchestrator.domain.records import Json, JsonObject

# a description of an action that is longer, or of several lines, is context and not the question
HEADLINE_LENGTH = 300


class RefusalNotAllowed(Invalid):
    """Somebody said no, and the agent allows no answer that says so. `detail` is their reason."""


def payloads(value: object, schema: JsonObject | None = None) -> list[Question]:
    """`schema`: the interrupt's `response_schema`. Raises NotAQuestion, which says what is
    missing.
    """
    return _read(value, schema).questions


def reply(value: object, answers: Sequence[Answer], schema: JsonObject | None = None) -> Json:
    """`answers`: one for each question, in their order. Raises RefusalNotAllowed."""
    asked = _read(value, schema)
    return asked.together(
        [
            asked.worded(question, answer)
            for question, answer in zip(asked.questions, answers, strict=True)
        ]
    )


class _Asked(NamedTuple):
    """What was asked, an answer in the agent's words, and all of them together as `interrupt()`
    returns them.
    """

    questions: list[Question]
    worded: Callable[[Question, Answer], Json]
    together: Callable[[list[Json]], Json]


class _ActionRequest(BaseModel):
    name: str
    args: JsonObject = Field(default_factory=dict)
    description: str | None = None


class _ReviewConfig(BaseModel):
    action_name: str
    allowed_decisions: tuple[Decision, ...]
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


def _read(value: object, schema: JsonObject | None) -> _Asked:
    try:
        plain: Any = to_jsonable_python(value)
        match plain:
            case {"action_requests": _}:
                return _hitl_request(_HITLRequest.model_validate(plain))
            case {"type": "tool_approval"}:
                return _tool_approval(_ActionRequest.model_validate(plain), schema)
            case {"action_request": _}:
                return _human_interrupt(_HumanInterrupt.model_validate(plain))
            case [{"action_request": _} as only]:
                return _human_interrupt(_HumanInterrupt.model_validate(only))
            case _:
                return _own(plain, schema)
    except ValidationError as error:
        first = error.errors()[0]
        name = error.title.removeprefix("_")
        raise NotAQuestion(
            f"the {name} does not fit at `{'.'.join(map(str, first['loc']))}`: {first['msg']}"
        ) from error
    except PydanticSerializationError as error:
        raise NotAQuestion(f"the question is not plain JSON: {error}") from error


def _hitl_request(request: _HITLRequest) -> _Asked:
    """LangChain's, as HumanInTheLoopMiddleware raises it: a question for each action."""
    configs = {config.action_name: config for config in request.review_configs}
    questions = [_question(action, configs.get(action.name)) for action in request.action_requests]
    return _Asked(questions, _langchain, _decisions)


def _tool_approval(request: _ActionRequest, schema: JsonObject | None) -> _Asked:
    """The same middleware with `interrupt_mode="per_call"`: what it allows is in the interrupt's
    `response_schema`.
    """
    return _Asked(
        [_question(request, _config(request.name, schema) if schema else None)], _langchain, _only
    )


def _config(name: str, schema: Mapping[str, Any]) -> _ReviewConfig:
    """One branch of the schema for each decision; that of `edit` holds the schema of the tool's
    arguments.
    """
    definitions = schema.get("$defs", {})

    def properties(of: Mapping[str, Any]) -> dict[str, Any]:
        return definitions.get(of.get("$ref", "").removeprefix("#/$defs/"), of).get(
            "properties", {}
        )

    branches = {
        branch.get("type", {}).get("const"): branch
        for branch in map(properties, schema.get("oneOf", [schema]))
    }
    args = properties(branches.get("edit", {}).get("edited_action", {})).get("args")
    args_schema = {**args, "$defs": definitions} if args else None
    return _ReviewConfig.model_validate(
        {"action_name": name, "allowed_decisions": [*branches], "args_schema": args_schema}
    )


def _decisions(said: list[Json]) -> Json:
    return {"decisions": said}


def _only(said: list[Json]) -> Json:
    return said[0]


def _human_interrupt(request: _HumanInterrupt) -> _Asked:
    """Agent Inbox's. It is answered by a list of one, also when it came without its list."""
    action = _ActionRequest(
        name=request.action_request.action,
        args=request.action_request.args,
        description=request.description,
    )
    allowed = tuple(decision for flag, decision in _INBOX_FLAGS.items() if request.config.get(flag))
    return _Asked(
        [_question(action, _ReviewConfig(action_name=action.name, allowed_decisions=allowed))],
        _inbox,
        list,
    )


def _own(payload: Any, schema: JsonObject | None) -> _Asked:
    """Our own form, or a string. Asked with a `response_schema` and no other kind it is a form, and
    its data alone is the reply.
    """
    if schema is not None and isinstance(payload, str | dict):
        payload = {
            "responseSchema": schema,
            **({"question": payload} if isinstance(payload, str) else payload),
        }
    question = parse_question(payload)
    return _Asked(
        [question], _data if schema is not None and question.kind is Kind.FORM else _envelope, _only
    )


def _envelope(question: Question, answer: Answer) -> Json:
    return answer.json_object()


def _data(question: Question, answer: Answer) -> Json:
    if isinstance(answer, Denied):
        raise RefusalNotAllowed(answer.reason)
    return answer.data


def _question(request: _ActionRequest, config: _ReviewConfig | None) -> Question:
    """`responseSchema` is that of the arguments, where it is known: what a person edits can be
    checked against it.
    """
    description = (request.description or "").strip()
    is_headline = 0 < len(description) <= HEADLINE_LENGTH and "\n" not in description
    action: dict[str, Any] = {"name": request.name, "arguments": request.args}
    if config is not None:
        action["allowedDecisions"] = config.allowed_decisions
    return parse_question(
        {
            "question": description if is_headline else f"Run {request.name}?",
            "additionalContext": None if is_headline else description or None,
            "action": action,
            "responseSchema": config and config.args_schema,
        }
    )


def _langchain(question: Question, answer: Answer) -> JsonObject:
    action, decision, given = _decided(question, answer)
    match decision:
        case Decision.APPROVE:
            return {"type": "approve"}
        case Decision.EDIT:
            return {"type": "edit", "edited_action": {"name": action.name, "args": given}}
        case Decision.REJECT | Decision.RESPOND:
            return {"type": decision.value, "message": given}


def _inbox(question: Question, answer: Answer) -> JsonObject:
    action, decision, given = _decided(question, answer)
    match decision:
        case Decision.APPROVE:
            return {"type": "accept", "args": {"action": action.name, "args": action.arguments}}
        case Decision.EDIT:
            return {"type": "edit", "args": {"action": action.name, "args": given}}
        case Decision.REJECT:
            return {"type": "ignore", "args": None}
        case Decision.RESPOND:
            return {"type": "response", "args": given}


def _decided(question: Question, answer: Answer) -> tuple[Action, Decision, Json]:
    """The action, the decision about it, and what goes with it: edited arguments, a reason or a
    text.
    """
    action = cast(Action, question.action)
    if isinstance(answer, Denied):
        refusal = next(
            (d for d in (Decision.REJECT, Decision.RESPOND) if d in action.allowedDecisions), None
        )
        if refusal is None:
            raise RefusalNotAllowed(answer.reason)
        return action, refusal, answer.reason
    if answer.editedArguments is not None:
        return action, Decision.EDIT, answer.editedArguments
    if answer.responseType is ResponseType.FREEFORM:
        return action, Decision.RESPOND, answer.freeformText
    return action, Decision.APPROVE, None
