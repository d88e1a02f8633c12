"""What agents ask, and how they are answered in their own words: every row of the contract's
table.
"""

from collections.abc import Sequence
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain.agents.middleware.human_in_the_loop import HITLResponse
from langchain.agents.middleware.human_in_the_loop import _decision_schema as decision_schema  # pyright: ignore[reportPrivateUsage]
from langchain_core.tools import StructuredTool
from pydantic import BaseModel, TypeAdapter

from hitl_orchestrator.domain.errors import NotAQuestion
from hitl_orchestrator.domain.hitl import (
    Answer,
    Answered,
    Decision,
    Denied,
    Kind,
    Person,
    ResponseType,
)
from hitl_orchestrator.domain.records import JsonObject
from hitl_orchestrator.domain.schemas import mismatches
from hitl_orchestrator.nodes.approvals import HEADLINE_LENGTH, RefusalNotAllowed
from hitl_orchestrator.nodes.dialects import build_reply, read_questions

ARGUMENTS: JsonObject = {"to": "ann@example.org", "text": "Hello"}
EDITED: JsonObject = {"to": "bob@example.org", "text": "Hello"}
APPROVED = Answered(responseType=ResponseType.APPROVAL, approved=True)
EDIT = Answered(responseType=ResponseType.APPROVAL, approved=True, editedArguments=EDITED)
TEXT = Answered(responseType=ResponseType.FREEFORM, freeformText="I did it myself")
NO = Denied(reason="Too many HITL requests")
WORDS: dict[str, Answer] = {"approve": APPROVED, "edit": EDIT, "respond": TEXT, "reject": NO}


def hitl_request(*allowed: Sequence[str]) -> dict[str, Any]:
    actions = [
        {"name": f"tool{n}", "args": ARGUMENTS, "description": f"Run tool {n} now"}
        for n, _ in enumerate(allowed)
    ]
    configs = [
        {"action_name": f"tool{n}", "allowed_decisions": [*each]} for n, each in enumerate(allowed)
    ]
    return {"action_requests": actions, "review_configs": configs}


def human_interrupt(**config: bool) -> dict[str, Any]:
    return {
        "action_request": {"action": "Send mail", "args": ARGUMENTS},
        "config": config,
        "description": "# Mail\n\nFrom Ann.",
    }


def tool_approval() -> dict[str, Any]:
    return {
        "type": "tool_approval",
        "tool_call_id": "call-1",
        "name": "tool0",
        "args": ARGUMENTS,
        "description": "Tool: tool0\nArgs: …",
    }


def nothing() -> None: ...


def per_call_schema(*allowed: str, args: type[BaseModel] | None = None) -> JsonObject:
    """As the middleware makes it."""
    tool = (
        StructuredTool.from_function(nothing, name="tool0", description="A tool", args_schema=args)
        if args
        else None
    )
    return TypeAdapter(decision_schema(cast(Any, allowed), "tool0", tool)).json_schema()


# Our own form

OURS: JsonObject = {"question": "Which?", "kind": "freeform"}


def test_our_own_form_is_read_and_unknown_fields_are_in_the_payload() -> None:
    payload = {
        "question": "Which?",
        "kind": "choice",
        "options": [{"id": "a", "label": "A"}],
        "originAgent": "somebody else",
    }
    (question,) = read_questions(payload)
    assert (question.kind, [option.id for option in question.options]) == (Kind.CHOICE, ["a"])
    assert question.payload == payload


def test_a_typed_question_is_read_as_its_json() -> None:
    class Ask(BaseModel):
        question: str
        kind: Kind

    assert read_questions(Ask(question="Go on?", kind=Kind.APPROVAL)) == read_questions(
        {"question": "Go on?", "kind": "approval"}
    )


def test_our_own_form_gets_the_envelope() -> None:
    answer = Answered(
        responseType=ResponseType.OPTION, selectedOptionId="a", responder=Person(id="ann")
    )
    assert build_reply(OURS, [answer]) == {
        "status": "answered",
        "responseType": "option",
        "approved": None,
        "selectedOptionId": "a",
        "freeformText": None,
        "data": None,
        "editedArguments": None,
        "responder": {"id": "ann", "displayName": None, "email": None},
    }
    assert build_reply(OURS, [NO]) == {
        "status": "denied",
        "approved": False,
        "reason": "Too many HITL requests",
    }


# Anything else


class Draft(BaseModel):
    message: str
    sum: float


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("How many?", "How many?"),
        ({"question": "Delete it?", "details": "all of it"}, "Delete it?"),
        ({"question": "Which?", "kind": "quiz"}, "Which?"),
        ({"question": "Which?", "kind": "open"}, "Which?"),
        ({"question": "Which?", "kind": []}, "Which?"),
        ({"type": "review", "message": "Good?"}, "Good?"),
        ({"message": " ", "prompt": "Name?", "question": 5}, "Name?"),
        ({"query": "Q?"}, "Q?"),
        ({"reason": "last", "description": "Buy it"}, "Buy it"),
        (Draft(message="Pay?", sum=5.5), "Pay?"),
        ({"action": "delete", "id": 7}, "Ann waits for an answer"),
        (42, "Ann waits for an answer"),
        (None, "Ann waits for an answer"),
        (False, "Ann waits for an answer"),
        ([], "Ann waits for an answer"),
        ("", "Ann waits for an answer"),
        ({}, "Ann waits for an answer"),
        (["a", {"b": 1}], "Ann waits for an answer"),
        ("x" * 20_001, "x" * 19_999 + "…"),
    ],
)
def test_anything_else_is_an_open_question_that_is_shown_whole(value: object, words: str) -> None:
    (question,) = read_questions(value, asker="Ann")
    assert (question.question, question.kind) == (words, Kind.OPEN)
    assert question.payload == (value.model_dump() if isinstance(value, Draft) else value)


LOOKS_LIKE_A_DIALECT: list[object] = [
    {"action_requests": "two"},
    {"action_requests": []},
    {"action_requests": [{}]},
    {"action_requests": [{"name": "send", "args": 1}]},
    hitl_request([]),
    hitl_request(["shrug"]),
    {"type": "tool_approval"},
    {"action_request": {"action": "Send"}},
    {"action_request": {"action": "Send"}, "config": {"allow_accept": "perhaps"}},
    {"action_request": "Send"},
    [{"action_request": {}}],
    human_interrupt(),
]


@pytest.mark.parametrize("value", LOOKS_LIKE_A_DIALECT)
def test_what_only_looks_like_a_dialect_is_open(value: object) -> None:
    (question,) = read_questions(value)
    assert (question.kind, question.payload) == (Kind.OPEN, value)
    assert build_reply(value, [TEXT]) == TEXT.freeformText


OPTIONS: list[tuple[object, list[tuple[str, str]]]] = [
    (["yes", "no"], [("yes", "yes"), ("no", "no")]),
    ([{"id": "a", "label": "A"}, {"id": "b", "label": "B"}], [("a", "A"), ("b", "B")]),
    ([{"label": "A", "value": 1}, {"title": "B", "id": 2}], [("A", "A"), ("B", "B")]),
    ([{"value": "x"}, {"name": "N"}, {"text": "T"}], [("x", "x"), ("N", "N"), ("T", "T")]),
    (["l" * 300], [("l" * 255, "l" * 300)]),
    (["yes", "yes"], []),
    (["yes", 5], []),
    (["yes", {}], []),
    (["yes", " "], []),
    ("yes", []),
    ({"yes": 1}, []),
    ([], []),
]


@pytest.mark.parametrize("name", ["options", "choices"])
@pytest.mark.parametrize(("given_", "read"), OPTIONS)
def test_options_are_texts_or_objects_with_a_label(
    name: str, given_: object, read: list[tuple[str, str]]
) -> None:
    (question,) = read_questions({"message": "Which?", name: given_})
    assert [(option.id, option.label) for option in question.options] == read


def test_an_option_is_answered_by_its_own_value() -> None:
    payload = {"message": "Which?", "options": ["no", {"label": "A", "price": 5}]}
    chosen = Answered(responseType=ResponseType.OPTION, selectedOptionId="A")
    assert build_reply(payload, [chosen]) == {"label": "A", "price": 5}
    assert build_reply(payload, [chosen.but(selectedOptionId="no")]) == "no"


@pytest.mark.parametrize("data", [False, None, 0, "", [], {}, 30, {"approved": True}])
def test_an_open_question_is_answered_by_what_was_said(data: Any) -> None:
    assert build_reply("Go on?", [APPROVED]) is True
    assert build_reply("Go on?", [TEXT]) == "I did it myself"
    said = Answered(responseType=ResponseType.FORM, data=data)
    assert build_reply("Go on?", [said]) == data


@pytest.mark.parametrize("value", ["Go on?", {"question": "Delete?"}, 5, *LOOKS_LIKE_A_DIALECT])
def test_no_word_says_that_an_open_question_was_refused(value: object) -> None:
    with pytest.raises(RefusalNotAllowed, match=r"^Too many HITL requests$"):
        build_reply(value, [NO])


def test_the_person_sees_what_stands_beside_the_question() -> None:
    for payload in (
        {"question": "Pay?", "kind": "approval", "payee": "Ann", "sum": 900},
        hitl_request(["approve"], ["reject"]),
        human_interrupt(allow_accept=True),
        tool_approval(),
    ):
        assert all(question.payload == payload for question in read_questions(payload))


# interrupt(…, response_schema=…)

SCHEMA: JsonObject = {
    "type": "object",
    "properties": {"good": {"type": "boolean"}},
    "required": ["good"],
}
FORM = Answered(responseType=ResponseType.FORM, data={"good": True})


@pytest.mark.parametrize(
    "value",
    [
        "Is it good?",
        {"question": "Is it good?"},
        {"question": "Is it good?", "kind": "form"},
        {"message": "Is it good?", "options": ["yes"], "urgency": 5},
    ],
)
def test_with_a_response_schema_a_question_is_a_form_and_its_data_the_reply(value: object) -> None:
    (question,) = read_questions(value, SCHEMA)
    assert (question.kind, question.responseSchema) == (Kind.FORM, SCHEMA)
    assert (question.question, question.payload) == ("Is it good?", value)
    assert build_reply(value, [FORM], SCHEMA) == {"good": True}


def test_with_a_response_schema_a_refusal_cannot_be_said() -> None:
    with pytest.raises(RefusalNotAllowed, match=r"^Too many HITL requests$"):
        build_reply("Is it good?", [NO], SCHEMA)


def test_with_a_response_schema_a_question_of_another_kind_keeps_its_envelope() -> None:
    value = {"question": "Go on?", "kind": "approval"}
    assert read_questions(value, SCHEMA)[0].kind is Kind.APPROVAL
    assert build_reply(value, [APPROVED], SCHEMA) == APPROVED.json_object()


# LangChain's HITLRequest


def test_a_hitl_request_is_a_question_for_each_action() -> None:
    first, second = read_questions(hitl_request(["approve", "edit"], ["reject"]))
    assert first.kind is second.kind is Kind.APPROVAL
    assert first.action is not None
    assert (first.question, first.action.name, first.action.arguments) == (
        "Run tool 0 now",
        "tool0",
        ARGUMENTS,
    )
    assert first.action.allowedDecisions == (Decision.APPROVE, Decision.EDIT)
    assert second.action is not None
    assert second.action.allowedDecisions == (Decision.REJECT,)


def test_decisions_come_in_the_order_of_the_actions() -> None:
    request = hitl_request(*[[*Decision]] * 4)
    assert build_reply(request, [APPROVED, EDIT, NO, TEXT]) == {
        "decisions": [
            {"type": "approve"},
            {"type": "edit", "edited_action": {"name": "tool1", "args": EDITED}},
            {"type": "reject", "message": "Too many HITL requests"},
            {"type": "respond", "message": "I did it myself"},
        ]
    }


def test_without_a_review_config_the_first_three_decisions_are_allowed() -> None:
    (question,) = read_questions({"action_requests": [{"name": "send"}]})
    assert question.action is not None
    assert question.action.allowedDecisions == (Decision.APPROVE, Decision.EDIT, Decision.REJECT)


def test_a_decision_that_is_not_known_is_left_out() -> None:
    (question,) = read_questions(hitl_request(["approve", "shrug", "reject"]))
    assert question.action is not None
    assert question.action.allowedDecisions == (Decision.APPROVE, Decision.REJECT)


@pytest.mark.parametrize("description", ["x" * (HEADLINE_LENGTH + 1), "two\nlines", "x" * 30_000])
def test_a_long_description_is_context(description: str) -> None:
    (question,) = read_questions(
        {"action_requests": [{"name": "send", "description": description}]}
    )
    assert (question.question, question.additionalContext) == ("Run send?", description)


def test_the_schema_of_the_arguments_is_handed_on() -> None:
    request = hitl_request(["edit"])
    request["review_configs"][0]["args_schema"] = SCHEMA
    assert read_questions(request)[0].responseSchema == SCHEMA


# tool_approval


class Mail(BaseModel):
    to: str


@pytest.mark.parametrize(
    "allowed",
    [["approve", "edit", "reject", "respond"], ["approve", "reject"], ["edit"], ["respond"]],
)
def test_a_tool_approval_allows_what_its_response_schema_lists(allowed: list[str]) -> None:
    (question,) = read_questions(tool_approval(), per_call_schema(*allowed))
    assert question.action is not None
    assert [*question.action.allowedDecisions] == allowed
    assert question.responseSchema is None or "edit" in allowed


def test_a_tool_approval_hands_on_the_schema_of_the_tools_arguments() -> None:
    (question,) = read_questions(tool_approval(), per_call_schema("approve", "edit", args=Mail))
    assert question.responseSchema is not None
    assert mismatches({"to": "ann"}, question.responseSchema) == []
    assert [each["path"] for each in mismatches({"to": 5}, question.responseSchema)] == ["/to"]


@pytest.mark.parametrize("allowed", WORDS)
def test_a_tool_approval_is_answered_by_one_decision(allowed: str) -> None:
    said = cast(
        JsonObject, build_reply(tool_approval(), [WORDS[allowed]], per_call_schema(*Decision))
    )
    assert said["type"] == allowed


def test_a_tool_approval_without_a_schema_allows_the_first_three() -> None:
    (question,) = read_questions(tool_approval())
    assert question.action is not None
    assert question.action.allowedDecisions == (Decision.APPROVE, Decision.EDIT, Decision.REJECT)


# Agent Inbox


def test_a_human_interrupt_allows_what_its_config_does() -> None:
    (question,) = read_questions(
        human_interrupt(allow_accept=True, allow_edit=False, allow_respond=True, allow_ignore=True)
    )
    assert question.action is not None
    assert (question.question, question.additionalContext) == (
        "Run Send mail?",
        "# Mail\n\nFrom Ann.",
    )
    assert question.action.allowedDecisions == (Decision.APPROVE, Decision.REJECT, Decision.RESPOND)


@pytest.mark.parametrize("in_a_list", [True, False])
def test_a_human_interrupt_is_answered_by_a_list_of_one(in_a_list: bool) -> None:
    request = human_interrupt(
        allow_accept=True, allow_edit=True, allow_respond=True, allow_ignore=True
    )
    value = [request] if in_a_list else request
    assert build_reply(value, [APPROVED]) == [{"type": "accept", "args": request["action_request"]}]
    assert build_reply(value, [EDIT]) == [
        {"type": "edit", "args": {"action": "Send mail", "args": EDITED}}
    ]
    assert build_reply(value, [TEXT]) == [{"type": "response", "args": "I did it myself"}]
    assert build_reply(value, [NO]) == [{"type": "ignore", "args": None}]


# Refusals


@pytest.mark.parametrize(
    "allowed", [["reject"], ["respond", "reject"], ["respond"], ["approve", "edit"]]
)
def test_a_refusal_is_said_as_the_agent_allows_or_not_at_all(allowed: list[str]) -> None:
    config = {
        "allow_accept": "approve",
        "allow_edit": "edit",
        "allow_ignore": "reject",
        "allow_respond": "respond",
    }
    inbox = human_interrupt(**{flag: decision in allowed for flag, decision in config.items()})
    if "reject" not in allowed and "respond" not in allowed:
        for value, schema in (
            (hitl_request(allowed), None),
            (tool_approval(), per_call_schema(*allowed)),
            (inbox, None),
        ):
            with pytest.raises(RefusalNotAllowed, match=r"^Too many HITL requests$"):
                build_reply(value, [NO], schema)
        return
    word = "reject" if "reject" in allowed else "respond"
    decision = {"type": word, "message": "Too many HITL requests"}
    assert build_reply(hitl_request(allowed), [NO]) == {"decisions": [decision]}
    assert build_reply(tool_approval(), [NO], per_call_schema(*allowed)) == decision
    assert build_reply(inbox, [NO]) == [
        {"type": "ignore", "args": None}
        if word == "reject"
        else {"type": "response", "args": NO.reason}
    ]


# Nonsense


NONSENSE: list[tuple[object, str]] = [
    ({"question": "Which?", "kind": "choice"}, "`options`"),
    ({"question": "", "kind": "freeform"}, "`question`"),
    ({"question": "Good?", "kind": "form"}, "`responseSchema`"),
    ({"question": "Good?", "additionalContext": object()}, "not plain JSON"),
    ({"question": "Good?", "additionalContext": "x" * 300_000}, "262144 are allowed"),
    ({"message": "x" * 300_000}, "262144 are allowed"),
    ({"message": float("nan")}, "not plain JSON"),
]


@pytest.mark.parametrize(("value", "missing"), NONSENSE)
def test_nonsense_is_named(value: object, missing: str) -> None:
    with pytest.raises(NotAQuestion) as raised:
        read_questions(value)
    assert missing in raised.value.detail


# Whatever is answered, the agent understands it

decisions = st.lists(st.sampled_from([*Decision]), min_size=1, unique=True)


@st.composite
def asked_and_answered(draw: st.DrawFn) -> tuple[list[list[Decision]], list[Answer]]:
    """Actions with what they allow, and for each an answer that a person may give, or a guard's
    denial.
    """
    allowed = draw(st.lists(decisions, min_size=1, max_size=4))
    given: list[Answer] = []
    for each in allowed:
        positive = [WORDS[decision] for decision in each if decision != Decision.REJECT]
        given.append(draw(st.sampled_from([*positive, Denied(reason="No")])))
    return allowed, given


@given(asked_and_answered())
def test_langchain_gets_decisions_that_it_allows(
    case: tuple[list[list[Decision]], list[Answer]],
) -> None:
    allowed, answers = case
    try:
        said = cast(Any, build_reply(hitl_request(*allowed), answers))
    except RefusalNotAllowed:
        pairs = zip(allowed, answers, strict=True)
        assert any(
            isinstance(a, Denied) and not {Decision.REJECT, Decision.RESPOND} & {*each}
            for each, a in pairs
        )
        return
    TypeAdapter(HITLResponse).validate_python(said, strict=True)
    assert all(
        decision["type"] in each for each, decision in zip(allowed, said["decisions"], strict=True)
    )


@given(decisions, st.sampled_from([*WORDS.values()]))
def test_langchain_per_call_accepts_the_decision(allowed: list[Decision], answer: Answer) -> None:
    if (
        isinstance(answer, Answered)
        and next(word for word, each in WORDS.items() if each is answer) not in allowed
    ):
        return
    try:
        said = build_reply(tool_approval(), [answer], per_call_schema(*allowed))
    except RefusalNotAllowed:
        assert not {Decision.REJECT, Decision.RESPOND} & {*allowed}
        return
    TypeAdapter(decision_schema(cast(Any, allowed), "tool0", None)).validate_python(said)
