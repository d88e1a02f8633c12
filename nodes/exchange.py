"""How one agent asks and is answered: by its mapping's `ask`, `answer`, `denied`, or its dialect.

Called again on each visit, so all of it is pure.
"""

from collections.abc import Callable, Sequence
from typing import Any, cast

from langgraph.types import Interrupt

from hitl_orchestrator.domain.asking import CannotBeShown, describe_unshowable, parse_question
from hitl_orchestrator.domain.errors import Invalid, NotAQuestion
from hitl_orchestrator.domain.hitl import Answer, Denied, Kind, Question
from hitl_orchestrator.domain.records import Json, JsonObject
from hitl_orchestrator.domain.state import Ask
from hitl_orchestrator.nodes.agents import Agent
from hitl_orchestrator.nodes.dialects import build_reply, read_questions, word_raw
from hitl_orchestrator.nodes.display import choose_payload, make_json
from hitl_orchestrator.nodes.plain import make_plain


def read_asks(agent: Agent, interrupt: Interrupt[Any]) -> list[Ask]:
    """Return the questions of an interrupt; one or several. Raise Invalid."""
    questions = _read_questions(agent, interrupt)
    return [
        Ask(key=f"{interrupt.id}.{number}", question=question)
        for number, question in enumerate(questions)
    ]


def word_answers(agent: Agent, interrupt: Interrupt[Any], answers: Sequence[Answer]) -> Json:
    """Return what `interrupt()` is to return. Raise Invalid.

    `answers`: one for each question of it, in their order. Raise RefusalNotAllowed where one is a
    refusal and nothing is certain to be heard as one.
    """
    refusals = [one for one in answers if isinstance(one, Denied)]
    if refusals and agent.denied is not None:
        return _call("denied", agent.denied, refusals[0].reason)
    if agent.answer is not None:
        told = [answer.json_object() for answer in answers]
        return _call("answer", agent.answer, interrupt.value, told if len(told) > 1 else told[0])
    if agent.ask is None:
        return build_reply(interrupt.value, answers, _get_schema(interrupt))
    said: list[Json] = []
    for question, answer in zip(_read_questions(agent, interrupt), answers, strict=True):
        said.append(word_raw(question, answer))
    return said if len(said) > 1 else said[0]


def _read_questions(agent: Agent, interrupt: Interrupt[Any]) -> list[Question]:
    try:
        return _read_said(agent, interrupt)
    except CannotBeShown as error:
        if agent.denied is None and agent.answer is None:
            raise
        # the mapping says how a refusal is put
        name = agent.capability.displayName
        return [describe_unshowable(None, Kind.OPEN, name, error.detail)]


def _read_said(agent: Agent, interrupt: Interrupt[Any]) -> list[Question]:
    if agent.ask is None:
        schema = _get_schema(interrupt)
        return read_questions(interrupt.value, schema, agent.capability.displayName)
    said = _call("ask", agent.ask, interrupt.value)
    payloads = said if isinstance(said, list) else [said]
    if not payloads:
        raise NotAQuestion("the mapping's `ask` returned no question")
    whole = choose_payload(make_json(interrupt.value), 0)
    return [parse_question(payload).but(payload=whole) for payload in payloads]


def _call(key: str, function: Callable[..., Any], *given: object) -> Json:
    try:
        said: object = function(*given)
    except Exception as error:  # foreign code: what it raises is the reason
        raise Invalid(f"The mapping's `{key}` raised {type(error).__name__}: {error}") from error
    return make_plain(f"What the mapping's `{key}` returned", said)


def _get_schema(interrupt: Interrupt[Any]) -> JsonObject | None:
    return cast(JsonObject | None, interrupt.response_schema)  # a type only before it was raised
