"""The `answer` functions of docs/agents.md: a refusal is never what a yes is."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from hitl_orchestrator.domain.hitl import Answered, Denied, ResponseType
from tests.repository import ROOT

Shape = Callable[[Any, dict[str, Any]], Any]

VALUE = {"field": "email", "options": ["red", "blue"]}
YES = Answered(responseType=ResponseType.APPROVAL, approved=True).json_object()
TEXT = Answered(responseType=ResponseType.FREEFORM, freeformText="Later").json_object()
CHOICE = Answered(responseType=ResponseType.OPTION, selectedOptionId="red").json_object()
DATA = Answered(responseType=ResponseType.FORM, data={"when": "Friday"}).json_object()
REFUSALS = [Denied(reason=reason).json_object() for reason in ("Too dear", "", "yes", "approve")]


def read_shapes() -> dict[str, Shape]:
    page = (ROOT / "docs" / "agents.md").read_text("utf-8")
    (block,) = re.findall(r"```python\n(def words\(.*?)```", page, re.DOTALL)
    found: dict[str, Any] = {}
    exec(block, found)  # noqa: S102 (what the page tells people to write)
    return {name: made for name, made in found.items() if callable(made) and name != "words"}


SHAPES = read_shapes()


@pytest.mark.parametrize(
    ("name", "answer", "said"),
    [
        ("yes_or_no", YES, "yes"),
        ("approve_or_reject", YES, "approve"),
        ("as_approved", YES, {"approved": True, "feedback": "No: None"}),
        ("as_decision", YES, {"decision": "approve", "reason": "No: None"}),
        ("as_action", YES, {"action": "continue"}),
        ("as_action", TEXT, {"action": "feedback", "data": "Later"}),
        ("as_type", YES, {"type": "accept"}),
        ("as_type", TEXT, {"type": "response", "args": "Later"}),
        ("as_feedback", YES, {"feedback": ""}),
        ("as_feedback", TEXT, {"feedback": "Later"}),
        ("as_message", YES, {"messages": [{"role": "user", "content": "yes"}]}),
        ("as_field", TEXT, {"email": "Later"}),
        ("as_choice", CHOICE, {"choice": "red"}),
    ],
)
def test_each_says_it_in_its_agents_words(name: str, answer: dict[str, Any], said: Any) -> None:
    assert SHAPES[name](VALUE, answer) == said


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("other", [*REFUSALS, DATA])
def test_nothing_else_is_what_a_yes_is(name: str, other: dict[str, Any]) -> None:
    consent = {"as_field": TEXT, "as_choice": CHOICE}.get(name, YES)
    assert SHAPES[name](VALUE, other) != SHAPES[name](VALUE, consent)
