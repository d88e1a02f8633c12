"""How questions are worded for clients that know actions alone, and their answers read."""

from typing import Any

import pytest

from hitl_orchestrator.domain.errors import Invalid
from hitl_orchestrator.domain.hitl import Decision, HitlRequest, Kind
from hitl_orchestrator.server.protocols.wording import (
    read_answer,
    word_hitl_request,
    word_human_interrupt,
)
from tests.test_fitting import asked

Json = dict[str, Any]
SCHEMA: Json = {
    "type": "object",
    "required": ["n"],
    "properties": {
        "n": {"type": "integer"},
        "ratio": {"type": ["number", "null"]},
        "note": {"type": "string"},
    },
}
OPTIONS = [{"id": "a", "label": "Ann"}, {"id": "b", "label": "Bob"}, {"id": "c", "label": "a"}]
SEND = {"name": "send", "arguments": {"to": "all", "copies": 9, "tags": ["a"]}}
QUESTIONS = {
    "action": asked(kind="approval", action=SEND),
    "approval": asked(kind="approval"),
    "choice": asked(kind="choice", options=OPTIONS),
    "freeform": asked(kind="freeform"),
    "form": asked(kind="form", responseSchema=SCHEMA),
    "open": asked().but(kind=Kind.OPEN, payload={"secret": "plan"}),
}


def edit(**args: Any) -> Json:
    return {"type": "edit", "edited_action": {"args": args}}


ANSWERS: list[tuple[str, Any, Json]] = [
    ("action", {"decisions": [{"type": "approve"}]}, {"approved": True}),
    ("action", [{"type": "accept", "args": {"args": {}}}], {"approved": True}),
    ("action", [{"type": "ignore", "args": None}], {"approved": False}),
    ("action", {"type": "reject", "message": "No"}, {"approved": False, "freeformText": "No"}),
    ("action", edit(copies="7", to="few"), {"editedArguments": {"copies": 7, "to": "few"}}),
    ("action", edit(tags='["b"]'), {"editedArguments": {"tags": ["b"]}}),
    (
        "action",
        [{"type": "edit", "args": {"action": "send", "args": {"to": "7"}}}],
        {"editedArguments": {"to": "7"}},
    ),
    ("approval", False, {"approved": False}),
    ("choice", "bob", {"selectedOptionId": "b"}),
    ("choice", [{"type": "response", "args": "1"}], {"freeformText": "1"}),
    ("choice", edit(answer="Ann"), {"selectedOptionId": "a"}),
    ("freeform", {"type": "respond", "message": "Go"}, {"freeformText": "Go"}),
    ("form", edit(n="3", ratio="", note=""), {"data": {"n": 3, "note": ""}}),
    ("form", {"n": 3}, {"data": {"n": 3}}),
    ("open", True, {"approved": True}),
    ("open", False, {"data": False}),
    ("open", {"any": ["thing"]}, {"data": {"any": ["thing"]}}),
]


@pytest.mark.parametrize(("name", "value", "answer"), ANSWERS)
def test_an_answer_is_read(name: str, value: Any, answer: Json) -> None:
    found = read_answer(QUESTIONS[name], value).json_object()
    assert answer.items() <= found.items()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("action", edit(copies="nine")),
        ("action", edit(copies="true")),
        ("action", edit(copies="NaN")),
        ("action", {"type": "edit", "edited_action": {"name": "delete", "args": {}}}),
        ("action", {"type": "edit", "args": "all"}),
        ("action", {"type": "aprove"}),
        ("action", {"decisions": [{"type": "approve"}, {"type": "approve"}]}),
        ("action", {"decisions": []}),
        ("action", {"approved": True}),
        ("action", None),
        ("action", 1),
        ("choice", {"type": "accept"}),
        ("choice", True),
        ("choice", "a"),
        ("freeform", {"type": "approve"}),
        ("form", edit(n="many")),
        ("open", {"type": "yes"}),
    ],
)
def test_what_is_no_answer_is_refused_and_never_a_yes(name: str, value: Any) -> None:
    with pytest.raises(Invalid):
        read_answer(QUESTIONS[name], value)


@pytest.mark.parametrize("name", QUESTIONS)
def test_what_a_client_is_shown_is_what_it_may_do(name: str) -> None:
    request: HitlRequest = QUESTIONS[name]
    worded: Any = word_hitl_request(request)
    inbox: Any = word_human_interrupt(request)
    allowed = worded["review_configs"][0]["allowed_decisions"]
    assert Decision.REJECT in allowed
    assert inbox["config"]["allow_ignore"]
    assert inbox["config"]["allow_accept"] is (Decision.APPROVE in allowed)
    shown = worded["action_requests"][0]["description"] + str(inbox["action_request"])
    assert f"Asked by {request.originAgent}" in shown
    words = {"action": "copies", "choice": "`b`: Bob", "form": '"ratio"', "open": "secret"}
    assert words.get(name, "") in shown
