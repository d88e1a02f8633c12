"""Does this answer fit this question? Every kind of question against every kind of answer, cell by
cell.
"""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hitl_orchestrator.domain.asking import parse_question
from hitl_orchestrator.domain.errors import Invalid
from hitl_orchestrator.domain.fitting import (
    REJECTED,
    find_contradiction,
    infer_type,
    markdown,
    settle,
)
from hitl_orchestrator.domain.hitl import (
    Answered,
    Decision,
    Denied,
    HitlRequest,
    HitlResponse,
    RequestStatus,
    ResponseType,
)
from tests.contracts import summary

LIFECYCLE = Path(__file__).parents[1] / "docs" / "hitl-lifecycle.md"

OPTIONS = [{"id": "a", "label": "A"}, {"id": "b", "label": "B"}]
STARS = {
    "type": "object",
    "required": ["stars"],
    "properties": {"stars": {"type": "integer", "maximum": 5}},
}
SEND: dict[str, Any] = {"name": "send", "arguments": {"to": "ann"}}
QUESTIONS: dict[str, dict[str, Any]] = {
    "approval": {"kind": "approval"},
    "action": {"action": SEND},
    "action_to_discuss": {"action": SEND | {"allowedDecisions": ["approve", "respond"]}},
    "choice": {"options": OPTIONS},
    "choice_or_words": {"options": OPTIONS, "allowFreeForm": True},
    "freeform": {"kind": "freeform"},
    "form": {"kind": "form", "responseSchema": STARS},
}
ANSWERS: dict[str, dict[str, Any]] = {
    "approve": {"approved": True},
    "edit": {"approved": True, "editedArguments": {"to": "bob"}},
    "reject": {"approved": False, "freeformText": "no"},
    "words": {"freeformText": "yes"},
    "blank": {"freeformText": " "},
    "option": {"selectedOptionId": "a"},
    "no_option": {"selectedOptionId": "c"},
    "data": {"data": {"stars": 5}},
    "misfit": {"data": {"stars": 6}},
}
FITS = """
                   approve  edit  reject  words  blank  option  no_option  data  misfit
approval           yes      -     yes     -      -      -       -          -     -
action             yes      yes   yes     -      -      -       -          -     -
action_to_discuss  yes      -     -       yes    -      -       -          -     -
choice             -        -     yes     -      -      yes     -          -     -
choice_or_words    -        -     yes     yes    -      yes     -          -     -
freeform           -        -     yes     yes    -      -       -          -     -
form               -        -     yes     -      -      -       -          yes   -
"""


def asked(**payload: Any) -> HitlRequest:
    question = parse_question({"question": "?", **payload})
    return HitlRequest(
        requestId="q",
        runId="run",
        threadId="thread",
        stepId="s1",
        originAgent="asker",
        status=RequestStatus.PENDING,
        operatorPrompt="Answer",
        pendingNodeId="asker",
        contractSummary=summary("asker: objective -> brief"),
        **question.model_dump(exclude={"expiresInSeconds", "unshowable"}),
    )


def said(**given: Any) -> HitlResponse:
    return HitlResponse(requestId="q", responseType=infer_type(given), **given)


def cells() -> list[tuple[str, str, bool]]:
    answers, *rows = (line.split() for line in FITS.strip().splitlines())
    return [
        (row[0], answer, cell == "yes")
        for row in rows
        for answer, cell in zip(answers, row[1:], strict=True)
    ]


@pytest.mark.parametrize(("question", "answer", "fits"), cells())
def test_an_answer_to_a_question(question: str, answer: str, fits: bool) -> None:
    request, response = asked(**QUESTIONS[question]), said(**ANSWERS[answer])
    if fits:
        assert settle(request, [response]).status is RequestStatus.RESOLVED
    else:
        with pytest.raises(Invalid, match="The answer does not fit request q"):
            settle(request, [response])


@pytest.mark.parametrize(
    "allowed", [subset for n in range(1, 5) for subset in combinations(Decision, n)]
)
@pytest.mark.parametrize(
    ("decision", "answer"), [*zip(Decision, ("approve", "edit", "reject", "words"), strict=True)]
)
def test_an_action_takes_the_decisions_it_allows_and_no_other(
    allowed: tuple[Decision, ...], decision: Decision, answer: str
) -> None:
    request, response = asked(action=SEND | {"allowedDecisions": allowed}), said(**ANSWERS[answer])
    if decision in allowed:
        assert settle(request, [response]).status is RequestStatus.RESOLVED
    else:
        with pytest.raises(
            Invalid, match=f"does not allow `{decision}`, only {', '.join(allowed)}"
        ):
            settle(request, [response])


def test_a_form_that_does_not_fit_is_refused_with_the_paths() -> None:
    schema = {"properties": {"a/b": {"items": {"type": "integer"}}}, "required": ["name"]}
    with pytest.raises(Invalid) as refused:
        settle(asked(kind="form", responseSchema=schema), [said(data={"a/b": [1, "two"]})])
    assert refused.value.more["errors"] == [
        {"path": "/data", "rule": "required", "message": '"name" is a required property'},
        {"path": "/data/a~1b/1", "rule": "type", "message": '"two" is not of type "integer"'},
    ]
    assert '/data: "name" is a required property' in refused.value.detail


def test_edited_arguments_that_the_action_does_not_take_are_refused_with_the_paths() -> None:
    request = asked(action=SEND, responseSchema={"properties": {"to": {"type": "string"}}})
    with pytest.raises(Invalid) as refused:
        settle(request, [said(approved=True, editedArguments={"to": 5})])
    assert refused.value.more["errors"] == [
        {"path": "/editedArguments/to", "rule": "type", "message": '5 is not of type "string"'}
    ]


def test_a_form_that_refers_to_itself_without_end_is_refused_and_does_no_harm() -> None:
    with pytest.raises(Invalid, match="cannot be checked"):
        settle(asked(kind="form", responseSchema={"$ref": "#"}), [said(data=1)])


# Several responses to one request

YES, NO, COMMENT = {"approved": True}, {"approved": False}, {"freeformText": "I asked Bob."}


@pytest.mark.parametrize("responses", [[YES, COMMENT], [COMMENT, YES], [COMMENT, YES, COMMENT]])
def test_one_response_decides_and_comments_stand_beside_it(responses: list[dict[str, Any]]) -> None:
    settled = settle(asked(kind="approval"), [said(**response) for response in responses])
    assert settled.answer == Answered(responseType=ResponseType.APPROVAL, approved=True)


def test_of_two_texts_the_first_is_the_answer() -> None:
    settled = settle(
        asked(kind="freeform"), [said(freeformText="first"), said(freeformText="second")]
    )
    assert settled.answer == Answered(responseType=ResponseType.FREEFORM, freeformText="first")


@pytest.mark.parametrize("responses", [[YES, NO], [YES, YES], [NO, COMMENT, YES]])
def test_two_responses_that_decide_are_refused(responses: list[dict[str, Any]]) -> None:
    with pytest.raises(Invalid, match="Request q is decided twice"):
        settle(asked(kind="approval"), [said(**response) for response in responses])


@pytest.mark.parametrize(
    ("text", "reason"), [("too dear", "too dear"), (" ", REJECTED), (None, REJECTED)]
)
def test_a_rejection_is_a_denial_with_its_text_as_the_reason(text: str | None, reason: str) -> None:
    assert settle(asked(), [said(approved=False, freeformText=text)]).answer == Denied(
        reason=reason
    )


# What a response says of itself

NOTHING: dict[str, Any] = dict.fromkeys(
    ["approved", "selectedOptionId", "freeformText", "editedArguments", "data"]
)


@pytest.mark.parametrize(
    ("sent", "inferred"),
    [
        ({"approved": True}, ResponseType.APPROVAL),
        ({"approved": True, "freeformText": "go"}, ResponseType.APPROVAL),
        ({"approved": False, "selectedOptionId": None}, ResponseType.REJECTION),
        ({"selectedOptionId": "a", "freeformText": "because"}, ResponseType.OPTION),
        ({"data": {}}, ResponseType.FORM),
        ({"data": 0, "freeformText": "see above"}, ResponseType.FORM),
        ({"data": None}, ResponseType.FORM),
        ({"freeformText": "hello"}, ResponseType.FREEFORM),
        ({}, ResponseType.FREEFORM),
        (NOTHING | {"approved": True}, ResponseType.APPROVAL),
        (NOTHING | {"selectedOptionId": "a"}, ResponseType.OPTION),
        (NOTHING | {"freeformText": "hello"}, ResponseType.FREEFORM),
    ],
)
def test_the_type_of_a_response_is_inferred(sent: dict[str, Any], inferred: ResponseType) -> None:
    assert infer_type(sent) is inferred
    assert find_contradiction(inferred, sent) is None


FIELDS: dict[str, dict[str, Any]] = {
    "approved": {"approved": True},
    "refused": {"approved": False},
    "option": {"selectedOptionId": "a"},
    "data": {"data": {}},
    "edited": {"editedArguments": {}},
    "text": {"freeformText": "because"},
    "nothing": {},
    "null": NOTHING,
}
AGREES = """
           approved  refused  option  data  edited  text  nothing  null
approval   yes       -        -       -     yes     yes   yes      yes
rejection  -         yes      -       -     -       yes   yes      yes
option     -         -        yes     -     -       -     -        -
freeform   -         -        -       -     -       yes   yes      yes
form       -         -        -       yes   -       -     -        yes
"""


def agreements() -> list[tuple[str, str, bool]]:
    fields, *rows = (line.split() for line in AGREES.strip().splitlines())
    return [
        (row[0], field, cell == "yes")
        for row in rows
        for field, cell in zip(fields, row[1:], strict=True)
    ]


@pytest.mark.parametrize(("type_", "field", "agrees"), agreements())
def test_a_type_and_a_field(type_: str, field: str, agrees: bool) -> None:
    assert (find_contradiction(ResponseType(type_), FIELDS[field]) is None) is agrees


# Whatever people answer


def said_by(person: str | None, answer: dict[str, Any]) -> HitlResponse:
    return said(**answer, responderId=person)


people = st.none() | st.just("ann")
answers = st.sampled_from(
    [*ANSWERS.values(), *({"freeformText": "because"} | answer for answer in ANSWERS.values())]
)
responses = st.builds(said_by, people, answers)


@settings(deadline=None)
@given(st.sampled_from([*QUESTIONS]), st.lists(responses, min_size=1, max_size=3))
def test_an_accepted_answer_is_either_a_denial_or_what_one_person_said(
    question: str, given_: Sequence[HitlResponse]
) -> None:
    try:
        answer = settle(asked(**QUESTIONS[question]), given_).answer
    except Invalid:
        return
    deciding = [
        response for response in given_ if response.responseType is not ResponseType.FREEFORM
    ] or given_
    decider = deciding[0]
    if decider.responseType is ResponseType.REJECTION:
        assert answer == Denied(reason=(decider.freeformText or "").strip() or REJECTED)
    else:
        theirs = {*Answered.model_fields} - {"status", "approved", "responder"}
        assert answer.model_dump(include=theirs) == decider.model_dump(include=theirs)
        assert isinstance(answer, Answered)
        assert answer.approved is (True if decider.responseType is ResponseType.APPROVAL else None)
        assert answer.responder == decider.responder


def test_the_lifecycle_page_shows_the_table() -> None:
    assert f"\n\n{markdown()}\n\n" in LIFECYCLE.read_text("utf-8")
