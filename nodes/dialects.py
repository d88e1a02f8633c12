"""What agents hand to `interrupt()`, and how they want to be answered: docs/agents.md."""

from collections.abc import Sequence
from typing import Any, cast

from hitl_orchestrator.domain.asking import (
    CannotBeShown,
    check_size,
    describe_unshowable,
    parse_question,
    read_open,
    read_options,
)
from hitl_orchestrator.domain.fitting import REJECTED
from hitl_orchestrator.domain.hitl import (
    Answer,
    Denied,
    Kind,
    Question,
    ResponseType,
)
from hitl_orchestrator.domain.records import Json, JsonObject
from hitl_orchestrator.nodes.approvals import (
    Exchange,
    RefusalNotAllowed,
    find_refusal,
    read_approvals,
    take_only,
)
from hitl_orchestrator.nodes.display import choose_payload, leave_out_unshowable, make_json

_OUR_KINDS = [kind for kind in Kind if kind is not Kind.OPEN]


def read_questions(
    value: object, schema: JsonObject | None = None, asker: str = "The agent"
) -> list[Question]:
    """Return the questions of what `interrupt()` was given, in our form; one or several.

    `schema`: the interrupt's `response_schema`. `asker`: whose question it is, where it has no
    words. Raise NotAQuestion, which says what is missing.
    """
    return _read(value, schema, asker).questions


def build_reply(value: object, answers: Sequence[Answer], schema: JsonObject | None = None) -> Json:
    """Return what `interrupt()` is to return.

    `answers`: one for each question, in their order. Raise RefusalNotAllowed.
    """
    asked = _read(value, schema, "")
    said: list[Json] = []
    for question, answer in zip(asked.questions, answers, strict=True):
        said.append(asked.word(question, answer))
    return asked.join(said)


def _read(value: object, schema: JsonObject | None, asker: str) -> Exchange:
    displayed = leave_out_unshowable(value)
    try:
        plain: Any = make_json(displayed.value)
        if known := read_approvals(plain, schema):
            return _refuse_unshowable(known, plain, displayed.reasons)
        check_size(make_json(value))
    except CannotBeShown as error:
        return _read_unshowable(value, schema, asker, error)
    exchange = _read_plain(plain, schema, asker)
    whole = [question.but(payload=plain) for question in exchange.questions]
    return exchange._replace(questions=whole)


def _refuse_unshowable(exchange: Exchange, plain: Json, reasons: Sequence[str | None]) -> Exchange:
    """Mark what is refused. Raise CannotBeShown where the dialect allows no refusal."""
    questions: list[Question] = []
    for number, question in enumerate(exchange.questions):
        reason = reasons[number]
        if reason is not None and not find_refusal(question.action):
            raise CannotBeShown(reason)
        payload = choose_payload(plain, number)
        questions.append(question.but(payload=payload, unshowable=reason))
    return exchange._replace(questions=questions)


def _read_unshowable(
    value: object, schema: JsonObject | None, asker: str, error: CannotBeShown
) -> Exchange:
    """Read our own form, which can be refused. Raise the error for anything else."""
    match cast(Any, value):
        case {"question": text, "kind": kind} if kind in _OUR_KINDS and schema is None:
            question = describe_unshowable(text, Kind(kind), asker, error.detail)
            return Exchange([question], _word_as_ours, take_only)
        case _:
            raise error


def _read_plain(plain: Any, schema: JsonObject | None, asker: str) -> Exchange:
    match plain:
        case {"question": _, "kind": kind} if kind in _OUR_KINDS:
            return _read_own(plain, schema)
        case _ if schema is not None:
            return _read_form(plain, schema, asker)
        case _:
            return Exchange([read_open(plain, asker)], word_raw, take_only)


def _read_own(payload: JsonObject, schema: JsonObject | None) -> Exchange:
    """Read our own form. Asked with a `response_schema`, a form's data alone is the reply."""
    given = payload if schema is None else {"responseSchema": schema, **payload}
    question = parse_question(given)
    wants_data = schema is not None and question.kind is Kind.FORM
    return Exchange([question], _word_as_data if wants_data else _word_as_ours, take_only)


def _read_form(payload: Json, schema: JsonObject, asker: str) -> Exchange:
    """Read whatever was asked with a `response_schema`: a form, and its data alone is the reply."""
    given = {
        "question": read_open(payload, asker).question,
        "kind": Kind.FORM.value,
        "responseSchema": schema,
    }
    return Exchange([parse_question(given)], _word_as_data, take_only)


def _word_as_ours(question: Question, answer: Answer) -> Json:
    return answer.json_object()


def _word_as_data(question: Question, answer: Answer) -> Json:
    if isinstance(answer, Denied):
        raise RefusalNotAllowed(answer.reason)
    return answer.data


def word_raw(question: Question, answer: Answer) -> Json:
    """Say what was said, as it is. Raise RefusalNotAllowed.

    Whatever a refusal were said by, some agent would take it for consent.
    """
    if isinstance(answer, Denied):
        raise RefusalNotAllowed(answer.reason)
    match answer.responseType:
        case ResponseType.APPROVAL:
            return True if answer.editedArguments is None else answer.editedArguments
        case ResponseType.OPTION:
            values = {option.id: value for option, value in read_options(question.payload)}
            return values.get(answer.selectedOptionId or "", answer.selectedOptionId)
        case ResponseType.FREEFORM:
            return answer.freeformText
        case ResponseType.FORM:
            return answer.data
        case ResponseType.REJECTION:
            raise RefusalNotAllowed(answer.freeformText or REJECTED)
