"""What may be answered is what the schema says, for each kind of question."""

from typing import Any

import pytest

from hitl_orchestrator.domain.errors import Invalid
from hitl_orchestrator.domain.hitl import HitlRequest, Kind
from hitl_orchestrator.domain.schemas import schema_error
from hitl_orchestrator.server.protocols.answer_schemas import read_answer, read_text, write_schema
from tests.test_fitting import asked

OPTIONS = [{"id": "a", "label": "Alpha"}, {"id": "b", "label": "a"}]
ACTION = {"name": "send", "arguments": {"to": "all"}}
REPLIED = {**ACTION, "allowedDecisions": ["reject", "respond"]}
FORM = {"type": "object", "required": ["n"]}


PLAIN = asked(kind="approval")
SENDING = asked(kind="approval", action=ACTION)
REPLYING = asked(kind="approval", action=REPLIED)
CHOOSING = asked(kind="choice", options=OPTIONS)
CHOOSING_FREELY = asked(kind="choice", options=OPTIONS, allowFreeForm=True)
WRITING = asked(kind="freeform")
FILLING = asked(kind="form", responseSchema=FORM)
OPEN = asked().but(kind=Kind.OPEN)
OPEN_WITH_OPTIONS = asked(kind="choice", options=OPTIONS).but(kind=Kind.OPEN)


@pytest.mark.parametrize(
    ("request_", "answer", "type_", "fields"),
    [
        (PLAIN, {"approved": True}, "approval", {"approved": True}),
        (PLAIN, {"approved": False, "reason": "no"}, "rejection", {"freeformText": "no"}),
        (SENDING, {"approved": True, "editedArgs": {}}, "approval", {"editedArguments": {}}),
        (REPLYING, {"text": "later"}, "freeform", {"freeformText": "later"}),
        (CHOOSING, {"option": "a"}, "option", {"selectedOptionId": "a"}),
        (CHOOSING_FREELY, {"text": "c"}, "freeform", {"freeformText": "c"}),
        (WRITING, {"text": "yes"}, "freeform", {"freeformText": "yes"}),
        (FILLING, {"n": 1}, "form", {"data": {"n": 1}}),
        (OPEN, {"approved": True}, "approval", {"approved": True}),
        (OPEN, {"data": False}, "form", {"data": False}),
        (OPEN, {"data": None}, "form", {"data": None}),
        (OPEN_WITH_OPTIONS, {"option": "b"}, "option", {"selectedOptionId": "b"}),
    ],
)
def test_an_answer_that_fits(request_: HitlRequest, answer: Any, type_: str, fields: Any) -> None:
    read = read_answer(request_, answer, "test")
    assert (read.responseType, read.metadata) == (type_, {"via": "test"})
    assert {name: getattr(read, name) for name in fields} == fields


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (PLAIN, {"approved": "true"}),
        (PLAIN, {"approved": 1}),
        (PLAIN, {"approved": None}),
        (PLAIN, {"reason": "yes"}),
        (PLAIN, {"text": "yes"}),
        (PLAIN, {"approved": True, "editedArgs": {}}),
        (SENDING, {"approved": False, "editedArgs": {}}),
        (SENDING, {"editedArgs": {}}),
        (REPLYING, {"approved": True}),
        (REPLYING, {"approved": False, "text": "later"}),
        (CHOOSING, {"option": "c"}),
        (CHOOSING, {"text": "a"}),
        (CHOOSING_FREELY, {"option": "a", "text": "but"}),
        (WRITING, {"text": ""}),
        (WRITING, "yes"),
        (OPEN, True),
        (OPEN, {}),
        (OPEN, {"option": "a"}),
    ],
)
def test_an_answer_that_does_not_fit(request_: HitlRequest, answer: Any) -> None:
    with pytest.raises(Invalid, match="The answer to q"):
        read_answer(request_, answer, "test")


def test_words_choose_an_option_that_they_name_alone() -> None:
    assert read_text(CHOOSING, " alpha ", "test").selectedOptionId == "a"
    assert read_text(WRITING, "yes", "test").freeformText == "yes"
    assert read_text(CHOOSING_FREELY, "A", "test").freeformText == "A", "two are meant by it"
    for request in (CHOOSING, PLAIN, SENDING, REPLYING, FILLING, OPEN):
        with pytest.raises(Invalid):
            read_text(request, "A", "test")


@pytest.mark.parametrize("request_", [PLAIN, SENDING, REPLYING, CHOOSING, OPEN, FILLING, WRITING])
def test_what_is_shown_is_a_schema(request_: HitlRequest) -> None:
    assert schema_error(write_schema(request_)) is None
