"""What an agent hands to `interrupt()`: read as a question, or refused with what is missing."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hitl_orchestrator.domain.asking import fingerprint, parse_question
from hitl_orchestrator.domain.errors import NotAQuestion
from hitl_orchestrator.domain.hitl import MAX_QUESTION_BYTES, Decision, Kind, Question, Urgency

CHOICE: dict[str, Any] = {
    "question": "Which?",
    "kind": "choice",
    "options": [{"id": "a", "label": "A"}, {"id": "b", "label": "B"}],
}
ACTION: dict[str, Any] = {
    "question": "Send it?",
    "kind": "approval",
    "action": {"name": "send", "arguments": {"to": "ann"}},
}
FORM: dict[str, Any] = {
    "question": "How good?",
    "kind": "form",
    "responseSchema": {"type": "object"},
}


def test_a_string_is_a_question() -> None:
    assert parse_question("Why?") == Question(
        question="Why?", kind=Kind.FREEFORM, urgency=Urgency.NORMAL
    )


@pytest.mark.parametrize("payload", [CHOICE, ACTION, FORM])
def test_the_kind_can_be_told_from_what_is_given(payload: dict[str, Any]) -> None:
    without = {name: value for name, value in payload.items() if name != "kind"}
    assert parse_question(without) == parse_question(payload)


def test_an_action_may_be_approved_edited_or_rejected_if_nothing_else_is_said() -> None:
    action = parse_question(ACTION).action
    assert action is not None
    assert action.allowedDecisions == (Decision.APPROVE, Decision.EDIT, Decision.REJECT)


def test_what_an_agent_says_of_itself_is_left_out() -> None:
    assert parse_question(CHOICE | {"originAgent": "somebody else", "note": 1}) == parse_question(
        CHOICE
    )


def test_null_is_as_if_it_were_not_there() -> None:
    assert parse_question(
        CHOICE | {"urgency": None, "action": None, "expiresInSeconds": None}
    ) == parse_question(CHOICE)


def test_a_text_that_only_speaks_of_nul() -> None:
    assert parse_question("What does \\u0000 mean?").question == "What does \\u0000 mean?"


NONSENSE: list[tuple[object, str]] = [
    (5, "a mapping with `question`, or a string, not int"),
    (None, "a mapping with `question`, or a string, not NoneType"),
    ({}, "does not fit at `question`: Field required"),
    ("", "does not fit at `question`"),
    (" ", "`question` is empty"),
    ({"question": "?", "kind": "quiz"}, "does not fit at `kind`"),
    ({"question": "?", "urgency": "very"}, "does not fit at `urgency`"),
    ({"question": "?", "expiresInSeconds": 0}, "does not fit at `expiresInSeconds`"),
    (CHOICE | {"options": []}, "needs `options`"),
    (CHOICE | {"options": [{"id": "a"}]}, "does not fit at `options.0.label`"),
    (
        CHOICE | {"options": [{"id": "a", "label": "A"}, {"id": "a", "label": "B"}]},
        "two `options` have the same id",
    ),
    (FORM | {"responseSchema": None}, "needs a `responseSchema`"),
    (FORM | {"responseSchema": {"type": "car"}}, "is not a JSON Schema"),
    (FORM | {"responseSchema": {"pattern": "("}}, "is not a JSON Schema"),
    (
        FORM | {"responseSchema": {"properties": {"a": {"$ref": "#/$defs/a"}}}},
        "refers to #/$defs/a, which is not in it",
    ),
    (
        FORM | {"responseSchema": {"$ref": "https://example.org/schema"}},
        "refers to https://example.org/schema, which is not in it",
    ),
    (ACTION | {"responseSchema": {"type": "car"}}, "is not a JSON Schema"),
    (ACTION | {"kind": "freeform"}, "needs the kind `approval`, not `freeform`"),
    (
        ACTION | {"action": {"name": "send", "allowedDecisions": []}},
        "`action.allowedDecisions` is empty",
    ),
    (
        ACTION | {"action": {"name": "send", "allowedDecisions": ["shred"]}},
        "does not fit at `action.allowedDecisions.0`",
    ),
    ({"question": "?", "additionalContext": object()}, "not plain JSON"),
    ({"question": "?", "additionalContext": "\ud800"}, "holds a lone surrogate"),
    (ACTION | {"action": {"name": "send", "arguments": {"to": float("nan")}}}, "not plain JSON"),
    (ACTION | {"action": {"name": "send", "arguments": {"to": "a\0b"}}}, "NUL"),
    (
        {"question": "?", "additionalContext": "x" * MAX_QUESTION_BYTES},
        f"{MAX_QUESTION_BYTES} are allowed",
    ),
]


@pytest.mark.parametrize(("payload", "missing"), NONSENSE)
def test_nonsense_is_refused_with_what_is_missing(payload: object, missing: str) -> None:
    with pytest.raises(NotAQuestion) as refused:
        parse_question(payload)
    assert missing in refused.value.detail


fields = st.sampled_from([*Question.model_fields, "id", "label", "name"])
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(fields, inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.slow
@settings(deadline=None)
@given(plain)
def test_whatever_an_agent_asks_it_is_a_question_or_none(payload: object) -> None:
    try:
        question = parse_question(payload)
    except NotAQuestion:
        return
    assert parse_question(question.json_object()) == question


@pytest.mark.parametrize(
    ("same", "change"),
    [
        (False, {"urgency": "high"}),
        (False, {"additionalContext": "Please!"}),
        (True, {"expiresInSeconds": 5}),
        (False, {"question": "Which one?"}),
        (False, {"options": CHOICE["options"][:1]}),
        (False, {"allowFreeForm": True}),
        (False, {"kind": "approval"}),
    ],
)
def test_the_same_question_is_known_again(same: bool, change: dict[str, Any]) -> None:
    assert (
        fingerprint(parse_question(CHOICE | change)) == fingerprint(parse_question(CHOICE))
    ) is same
