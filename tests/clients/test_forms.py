"""What a form comes to: what is not certain decides nothing."""

from typing import Any

import pytest

from hitl_orchestrator.server.protocols.forms import FormMisfit, build_form, read_answer

Json = dict[str, Any]
ALLOWED = ["approve", "edit", "reject", "respond"]
ARGUMENTS = {
    "to": "all",
    "n": 3,
    "share": 0.5,
    "urgent": True,
    "tags": ["a"],
    "note": "",
    "x": None,
}
ACTION: Json = {
    "kind": "approval",
    "action": {"name": "send", "arguments": ARGUMENTS, "allowedDecisions": ALLOWED},
}
SHOWN = {**ARGUMENTS, "tags": '["a"]', "x": "null"}
PREFILLED: Json = {f"field_{name}": value for name, value in SHOWN.items()}
SCHEMA: Json = {
    "type": "object",
    "required": ["seats"],
    "properties": {
        "seats": {"type": "integer", "minimum": 1},
        "day": {"enum": ["mon", "tue"]},
        "name": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
        "vegan": {"type": "boolean", "default": False},
        "who": {"type": "array", "items": {"type": "string"}},
    },
}
FORM: Json = {"kind": "form", "responseSchema": SCHEMA}


def test_the_form_is_flat_and_prefilled() -> None:
    fields = build_form(ACTION)["properties"]
    assert {name: field.get("default") for name, field in fields.items()} == {
        "decision": None, "text": None, **PREFILLED,
    }  # fmt: skip
    fields = build_form(FORM)["properties"]
    assert {name: field["type"] for name, field in fields.items()} == {
        "decision": "string",
        "field_seats": "integer",
        "field_day": "string",
        "field_name": "string",
        "field_vegan": "boolean",
        "field_who": "string",
        "text": "string",
    }
    assert fields["field_day"]["enum"] == ["mon", "tue"]


@pytest.mark.parametrize(
    ("request_", "filled", "expected"),
    [
        (ACTION, {"decision": "approve", **PREFILLED}, {"approved": True}),
        (ACTION, {"decision": "approve"}, {"approved": True}),
        (
            ACTION,
            {"decision": "edit", **PREFILLED, "field_n": "4", "field_share": 1.0},
            {"approved": True, "editedArguments": {**ARGUMENTS, "n": 4, "share": 1.0}},
        ),
        (ACTION, {"decision": "respond", "text": "Why?"}, {"freeformText": "Why?"}),
        (ACTION, {"decision": "reject", **PREFILLED, "field_n": 9}, {"approved": False}),
        (
            FORM,
            {"decision": "answer", "field_seats": 2.0, "field_name": "", "field_who": '["b"]'},
            {"data": {"seats": 2, "who": ["b"]}},
        ),
        ({"kind": "open"}, {"decision": "answer", "json": "false"}, {"data": False}),
    ],
)
def test_what_is_filled_in_is_what_is_decided(request_: Json, filled: Json, expected: Json) -> None:
    read = read_answer(request_, filled)
    assert {name: value for name, value in read.items() if name != "responseType"} == expected


@pytest.mark.parametrize(
    ("request_", "filled"),
    [
        (ACTION, {}),
        (ACTION, {"decision": "answer"}),
        (ACTION, {"decision": "approve", **PREFILLED, "field_n": 4}),
        (ACTION, {"decision": "approve", **PREFILLED, "field_urgent": False}),
        (ACTION, {"decision": "edit", "field_n": 4}),
        (ACTION, {"decision": "edit", **PREFILLED, "field_n": True}),
        (ACTION, {"decision": "edit", **PREFILLED, "field_tags": "[a"}),
        (ACTION, {"decision": "edit", **PREFILLED, "field_n": "NaN"}),
        ({"kind": "approval"}, {"decision": "edit"}),
        ({"kind": "open"}, {"decision": "answer", "json": "1", "option": "a"}),
    ],
)
def test_what_is_not_certain_decides_nothing(request_: Json, filled: Json) -> None:
    with pytest.raises(FormMisfit):
        read_answer(request_, filled)
