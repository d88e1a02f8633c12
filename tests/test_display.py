"""What cannot be shown is left out of a question, with the reason; what is beside it stays."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitl_orchestrator.domain.hitl import (
    MAX_QUESTION_BYTES,
    Answer,
    Answered,
    Denied,
    Kind,
    ResponseType,
)
from hitl_orchestrator.domain.json_values import check_storable
from hitl_orchestrator.nodes.dialects import build_reply, read_questions

LARGE = "x" * (MAX_QUESTION_BYTES + 1)
UNSHOWABLE: dict[str, Any] = {
    "nul": "\0",
    "surrogate": "\ud800",
    "nan": float("nan"),
    "infinite": float("inf"),
    "2**64": 2**64,
    "object": object(),
    "large": LARGE,
}
SHOWABLE: dict[str, Any] = {"text": "a\nb", "number": 2**64 - 1, "float": 1e300, "none": None}
ALL = {**UNSHOWABLE, **SHOWABLE}
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
CALLS = st.lists(st.tuples(NAMES, st.sampled_from([*ALL])), min_size=1, max_size=4)
YES = Answered(responseType=ResponseType.APPROVAL, approved=True)


def call(name: str, value: Any) -> dict[str, Any]:
    # LangChain's description repeats the arguments
    return {"name": name, "args": {"value": value}, "description": f"Args: {value!r}"}


@given(CALLS)
def test_every_call_is_a_question_and_only_what_cannot_be_shown_is_refused(
    calls: list[tuple[str, str]],
) -> None:
    value = {"action_requests": [call(name, ALL[kind]) for name, kind in calls]}
    questions = read_questions(value)
    answers: list[Answer] = []
    for question, (name, kind) in zip(questions, calls, strict=True):
        assert question.action is not None
        check_storable(question.json_object())
        assert (question.unshowable is None) is (kind in SHOWABLE)
        if question.unshowable is None:
            assert question.action.name == name
            assert question.action.arguments == {"value": ALL[kind]}
        answers.append(YES if question.unshowable is None else Denied(reason="cannot be shown"))
    reply: Any = build_reply(value, answers)
    said = [decision["type"] for decision in reply["decisions"]]
    assert said == ["approve" if kind in SHOWABLE else "reject" for _, kind in calls]


@pytest.mark.parametrize("kind", UNSHOWABLE)
def test_agent_inbox_and_our_own_form_are_refused_alike(kind: str) -> None:
    bad = UNSHOWABLE[kind]
    inbox = [{
        "action_request": {"action": "send", "args": {"to": bad}},
        "config": {"allow_accept": True, "allow_ignore": True},
    }]  # fmt: skip
    (question,) = read_questions(inbox)
    assert question.unshowable is not None
    assert build_reply(inbox, [Denied(reason="no")]) == [{"type": "ignore", "args": None}]
    (question,) = read_questions({"question": "Send it?", "kind": "approval", "note": bad})
    assert (question.question, question.kind) == ("Send it?", Kind.APPROVAL)
    assert question.unshowable is not None


def test_it_is_said_how_it_begins_and_by_that_two_are_told_apart() -> None:
    first, second = (
        read_questions({"action_requests": [call("send", f"{name}\0")]})[0] for name in "ab"
    )
    assert "It begins: {'value': 'a\\x00'}" in (first.additionalContext or "")
    assert first != second


def test_of_a_very_large_wave_each_question_keeps_its_own_call() -> None:
    calls = [call("send", "x" * (MAX_QUESTION_BYTES // 2)) for _ in range(3)]
    questions = read_questions({"action_requests": calls})
    assert [question.unshowable for question in questions] == [None] * 3
    assert [question.payload for question in questions] == [
        {"action_requests": [one]} for one in calls
    ]
