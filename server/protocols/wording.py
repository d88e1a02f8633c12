"""A question of ours in the words of LangChain's clients, and their answers in ours. Pure.

Such clients know actions alone: approve, edit, reject, respond. So each kind of question is worded
as one; what cannot be worded that way, options and schemas, stands in the description as Markdown.
"""

import json
from collections.abc import Mapping
from typing import NamedTuple, NoReturn

from hitl_orchestrator.domain.errors import Invalid
from hitl_orchestrator.domain.hitl import (
    Action,
    Decision,
    HitlRequest,
    HitlResponse,
    Kind,
    ResponseType,
)
from hitl_orchestrator.domain.records import Json, JsonObject
from hitl_orchestrator.server.protocols.description import describe_question, quote_json

ANSWER = "answer"  # the one argument of a question that is no action
# Agent Inbox's words for LangChain's.
INBOX_WORDS: Mapping[str, Decision] = {
    "accept": Decision.APPROVE,
    "edit": Decision.EDIT,
    "ignore": Decision.REJECT,
    "response": Decision.RESPOND,
}
EMPTY: Mapping[str, Json] = {
    "string": "",
    "integer": 0,
    "number": 0,
    "boolean": False,
    "array": [],
    "object": {},
}


class Worded(NamedTuple):
    """A question as an action."""

    name: str
    arguments: JsonObject
    allowed: tuple[Decision, ...]


def word_hitl_request(request: HitlRequest) -> JsonObject:
    """Return it as LangChain's `HITLRequest` of one action."""
    name, arguments, allowed = word_action(request)
    action: JsonObject = {"name": name, "args": arguments, "description": describe(request)}
    review: JsonObject = {"action_name": name, "allowed_decisions": [*allowed]}
    return {"action_requests": [action], "review_configs": [review]}


def word_human_interrupt(request: HitlRequest) -> JsonObject:
    """Return it as Agent Inbox's `HumanInterrupt`."""
    name, arguments, allowed = word_action(request)
    if request.kind not in (Kind.APPROVAL, Kind.FORM):  # it has a box for a text
        arguments = {}
        allowed = tuple(one for one in allowed if one is not Decision.EDIT)
    config: JsonObject = {
        "allow_accept": Decision.APPROVE in allowed,
        "allow_edit": Decision.EDIT in allowed,
        "allow_respond": Decision.RESPOND in allowed,
        "allow_ignore": Decision.REJECT in allowed,
    }
    return {
        "action_request": {"action": name, "args": arguments},
        "config": config,
        "description": describe(request),
    }


def word_action(request: HitlRequest) -> Worded:
    """Return a question of any kind as an action."""
    agent, action, kind = request.originAgent, request.action, request.kind
    if action is not None:
        return Worded(action.name, action.arguments, action.allowedDecisions)
    if kind is Kind.APPROVAL:
        return Worded(agent, {}, (Decision.APPROVE, Decision.REJECT))
    if kind is Kind.FORM:
        blank = _fill_in(request.responseSchema or {})
        return Worded(agent, blank, (Decision.EDIT, Decision.REJECT))
    # not all of them have a box for a text: there the argument is edited
    allowed = (Decision.EDIT, Decision.RESPOND, Decision.REJECT)
    if kind is Kind.OPEN:
        allowed = (Decision.APPROVE, *allowed)
    return Worded(agent, {ANSWER: ""}, allowed)


def describe(request: HitlRequest) -> str:
    """Return what a person has to know, as Markdown. An action's arguments are shown beside it."""
    words = describe_question({**request.model_dump(mode="json"), "action": None})
    if request.kind is not Kind.FORM:
        return words
    return f"{words}\n\nIt is to fit:\n\n{quote_json(request.responseSchema)}"


def _fill_in(schema: JsonObject) -> JsonObject:
    """Return a form's fields as they are before anybody has filled them in."""
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return {}
    return {name: _fill_in_field(one) for name, one in properties.items()}


def _fill_in_field(schema: Json) -> Json:
    if not isinstance(schema, dict):
        return ""
    if "default" in schema:
        return schema["default"]
    if isinstance(choices := schema.get("enum"), list) and choices:
        return choices[0]
    return EMPTY.get(str(schema.get("type")), "")


# -- their answers


def read_answer(request: HitlRequest, value: Json) -> HitlResponse:
    """Return what was said to one question. Raise Invalid: it says nothing that could be meant.

    `value`: one decision of LangChain's, alone or in its envelope; Agent Inbox's, alone or in a
    list of one; or the answer itself, as `interrupt()` is to return it.
    """
    match value:
        case {"decisions": [dict() as decision]} if len(value) == 1:
            return _read_decision(request, decision)
        case {"decisions": _} if request.kind is not Kind.FORM:
            raise _misfit(request, "it wants `decisions` to be a list of one")
        case [{"type": str()} as decision] | ({"type": str()} as decision):
            return _read_decision(request, decision)
        case str():
            return _read_text(request, value)
        case bool() if request.kind is Kind.APPROVAL:
            return _approve(request) if value else _reject(request, None)
        case True if request.kind is Kind.OPEN:
            return _approve(request)
        case dict() if request.kind is Kind.FORM:
            return _respond(request, ResponseType.FORM, data=value)
        case _ if request.kind is Kind.OPEN and value is not None:
            return _respond(request, ResponseType.FORM, data=value)
        case _:
            raise _misfit(request, "it is no decision, and no answer to that question")


def _read_decision(request: HitlRequest, decision: JsonObject) -> HitlResponse:
    word = str(decision["type"]) if "type" in decision else ""
    known = INBOX_WORDS.get(word) or next((one for one in Decision if one == word), None)
    message = decision.get("message")
    args = decision.get("args")
    match known:
        case Decision.APPROVE:
            if request.kind not in (Kind.APPROVAL, Kind.OPEN):
                raise _misfit(request, "it cannot be approved; answer it")
            return _approve(request)
        case Decision.REJECT:
            return _reject(request, message or args)
        case Decision.EDIT:
            return _read_edit(request, _find_edited(request, decision))
        case Decision.RESPOND:
            text = message if isinstance(message, str) else args
            if not isinstance(text, str):
                raise _misfit(request, "a response is to be a text")
            return _read_text(request, text)
        case None:
            raise _misfit(request, f"there is no decision {word[:50]!r}")


def _find_edited(request: HitlRequest, decision: JsonObject) -> JsonObject:
    """Return the arguments of an edit, in whichever envelope. The action stays the one shown."""
    edited = decision.get("edited_action") or decision.get("editedAction") or decision.get("args")
    if not isinstance(edited, dict) or not isinstance(arguments := edited.get("args"), dict):
        raise _misfit(request, "an edit wants the action with its `args`")
    name = edited.get("name", edited.get("action"))
    if name not in (None, word_action(request).name):
        raise _misfit(request, f"an edit cannot make another action of it, {str(name)[:50]!r}")
    return arguments


def _read_edit(request: HitlRequest, arguments: JsonObject) -> HitlResponse:
    if request.action is not None:
        typed = _type_arguments(request, request.action, arguments)
        return _respond(request, ResponseType.APPROVAL, approved=True, editedArguments=typed)
    if request.kind is Kind.FORM:
        return _respond(request, ResponseType.FORM, data=_type_form(request, arguments))
    text = arguments.get(ANSWER)
    if not isinstance(text, str):
        raise _misfit(request, f"an edit wants the text `{ANSWER}`")
    return _read_text(request, text)


def _read_text(request: HitlRequest, text: str) -> HitlResponse:
    """Return a text as an answer; where it names an option, by its id or its label, as that one."""
    wanted = text.strip().casefold()
    named = [one for one in request.options if wanted in (one.id.casefold(), one.label.casefold())]
    if len(named) > 1:
        raise _misfit(request, f"{text[:50]!r} names several options")
    if named:
        return _respond(request, ResponseType.OPTION, selectedOptionId=named[0].id)
    return _respond(request, ResponseType.FREEFORM, freeformText=text)


def _approve(request: HitlRequest) -> HitlResponse:
    return _respond(request, ResponseType.APPROVAL, approved=True)


def _reject(request: HitlRequest, reason: Json) -> HitlResponse:
    text = reason if isinstance(reason, str) and reason.strip() else None
    return _respond(request, ResponseType.REJECTION, approved=False, freeformText=text)


def _respond(request: HitlRequest, type_: ResponseType, **given: Json) -> HitlResponse:
    return HitlResponse.model_validate(
        {"requestId": request.requestId, "responseType": type_, **given}
    )


# -- text boxes: what is no text comes back as one


def _type_arguments(request: HitlRequest, action: Action, edited: JsonObject) -> JsonObject:
    """Return edited arguments of the types that the schema wants; else of what they were."""
    fields = _find_fields(request)
    typed = JsonObject()
    for name, value in edited.items():
        wanted = _find_types(fields.get(name))
        if not wanted and action.arguments.get(name) is not None:
            wanted = {_name_type(action.arguments[name])}
        typed[name] = _type(request, name, value, wanted)
    return typed


def _type_form(request: HitlRequest, filled_in: JsonObject) -> JsonObject:
    """Return a filled-in form; what was left empty and need not be there is left out."""
    schema, fields = request.responseSchema or {}, _find_fields(request)
    required = schema.get("required")
    typed = JsonObject()
    for name, value in filled_in.items():
        wanted = _find_types(fields.get(name))
        is_needed = isinstance(required, list) and name in required
        if value == "" and not is_needed and "string" not in wanted:
            continue
        typed[name] = _type(request, name, value, wanted)
    return typed


def _type(request: HitlRequest, name: str, value: Json, wanted: set[str]) -> Json:
    """Return a text as what it is to be. Raise Invalid: it is none of the kind."""
    if not isinstance(value, str) or not wanted or "string" in wanted:
        return value
    try:
        read: Json = json.loads(value, parse_constant=_refuse_constant)
    except ValueError:
        read = value
    is_fitting = {_name_type(read)} <= wanted | ({"integer"} if "number" in wanted else set())
    if not is_fitting:
        raise _misfit(request, f"`{name[:100]}` is to be a {' or '.join(sorted(wanted))}")
    return read


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _find_fields(request: HitlRequest) -> JsonObject:
    properties = (request.responseSchema or {}).get("properties")
    return properties if isinstance(properties, dict) else {}


def _find_types(schema: Json) -> set[str]:
    types = schema.get("type") if isinstance(schema, dict) else None
    if isinstance(types, list):
        return {str(one) for one in types}
    return {types} if isinstance(types, str) else set()


def _name_type(value: Json) -> str:
    """Return what JSON Schema calls its type; a whole number is one, too."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case dict():
            return "object"


def _misfit(request: HitlRequest, why: str) -> Invalid:
    detail = f"The answer does not fit request {request.requestId}: {why}."
    return Invalid(detail, requestId=request.requestId)
