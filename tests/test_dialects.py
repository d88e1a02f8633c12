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
from hitl_orchestrator.nodes.dialects import (
    HEADLINE_LENGTH,
    RefusalNotAllowed,
    build_reply,
    read_questions,
)

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


def test_a_string_is_a_question() -> None:
    (question,) = read_questions("How many?")
    assert (question.question, question.kind) == ("How many?", Kind.FREEFORM)


def test_our_own_form_is_read_and_unknown_fields_are_left_out() -> None:
    (question,) = read_questions(
        {
            "question": "Which?",
            "options": [{"id": "a", "label": "A"}],
            "originAgent": "somebody else",
        }
    )
    assert (question.kind, [option.id for option in question.options]) == (Kind.CHOICE, ["a"])


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
    assert build_reply("Which?", [answer]) == {
        "status": "answered",
        "responseType": "option",
        "approved": None,
        "selectedOptionId": "a",
        "freeformText": None,
        "data": None,
        "editedArguments": None,
        "responder": {"id": "ann", "displayName": None, "email": None},
    }
    assert build_reply("Which?", [NO]) == {"status": "denied", "reason": "Too many HITL requests"}


# interrupt(…, response_schema=…)

SCHEMA: JsonObject = {
    "type": "object",
    "properties": {"good": {"type": "boolean"}},
    "required": ["good"],
}
FORM = Answered(responseType=ResponseType.FORM, data={"good": True})


@pytest.mark.parametrize(
    "value",
    ["Is it good?", {"question": "Is it good?"}, {"question": "Is it good?", "kind": "form"}],
)
def test_with_a_response_schema_a_question_is_a_form_and_its_data_the_reply(value: object) -> None:
    (question,) = read_questions(value, SCHEMA)
    assert (question.kind, question.responseSchema) == (Kind.FORM, SCHEMA)
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
def test_a_refusal_is_said_as_the_agent_allows_or_fails_the_step(allowed: list[str]) -> None:
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
    (None, "a mapping with `question`"),
    (42, "a mapping with `question`"),
    ([], "a mapping with `question`"),
    ("", "`question`"),
    ({"text": "What?"}, "`question`"),
    ({"question": "Which?", "kind": "choice"}, "`options`"),
    ({"action_requests": []}, "HITLRequest does not fit at `action_requests`"),
    ({"action_requests": [{}]}, "HITLRequest does not fit at `action_requests.0.name`"),
    ({"action_requests": [{"name": "send", "args": 1}]}, "`action_requests.0.args`"),
    (hitl_request([]), "allowedDecisions"),
    (hitl_request(["shrug"]), "`review_configs.0.allowed_decisions.0`"),
    ({"type": "tool_approval"}, "`name`"),
    ({"action_request": {"action": "Send"}}, "HumanInterrupt does not fit at `config`"),
    (human_interrupt(), "allowedDecisions"),
    ({"question": "Good?", "additionalContext": object()}, "not plain JSON"),
    ({"question": "Good?", "additionalContext": "x" * 300_000}, "262144 are allowed"),
    (
        {"action_requests": [{"name": "send", "args": {"text": "x" * 300_000}}]},
        "262144 are allowed",
    ),
    ({"action_requests": [{"name": "send", "args": {"text": "\0"}}]}, "NUL"),
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
    given: list[Answer] = [
        draw(
            st.sampled_from(
                [*(WORDS[d] for d in each if d != Decision.REJECT), Denied(reason="No")]
            )
        )
        for each in allowed
    ]
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
