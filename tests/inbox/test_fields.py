"""A form from a JSON Schema: what a browser sends of it comes back as what stood there."""

from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitl_orchestrator.domain.schemas import mismatches
from hitl_orchestrator.server.inbox.fields import (
    Field,
    build_fields,
    drop_empty_items,
    edit_lists,
    read_fields,
)
from hitl_orchestrator.server.inbox.schema_parts import MOST_FIELDS, Control, infer_schema
from hitl_orchestrator.server.inbox.wording import word_mismatches
from tests.inbox.test_words import OBJECTS


def send(fields: Iterable[Field]) -> dict[str, str]:
    """Return what a browser sends of a form that nobody touched."""
    sent: dict[str, str] = {}
    for one in fields:
        if one.control is Control.CHECK:
            sent |= {one.name: "true"} if one.value == "true" else {}
        elif one.control is Control.LIST:
            sent[one.name] = one.attributes["count"]
        elif one.control is not Control.GROUP:
            sent[one.name] = one.value.replace("\n", "\r\n") if one.is_long else one.value
        sent |= send(one.inside)
    return sent


@given(OBJECTS)
def test_arguments_without_a_schema_come_back_as_they_were(arguments: Any) -> None:
    schema = infer_schema(arguments)
    sent = send(build_fields(schema, arguments, {}, by_names=True))
    value, unread = read_fields(schema, sent, needs_all=False, proposed=arguments)
    assert unread == {}
    assert repr(value or {}) == repr(arguments)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "x"),
        ({"enum": [1, "1", None, True]}, True),
        ({"type": "array", "items": {"type": "integer"}}, [1, 2**70]),
        ({"type": "boolean"}, False),
        ({}, {"any": ["thing"]}),
        ({"type": "object", "properties": {"a": {"type": ["string", "null"]}}}, {"a": None}),
        ({"type": "object", "properties": {"a": {"type": "string"}}}, {"a": "", "unknown": [1]}),
        (
            {
                "$defs": {"a/b": {"type": "object", "properties": {"n": {"type": "number"}}}},
                "type": "object",
                "properties": {"x": {"$ref": "#/$defs/a~1b"}, "y": {"$ref": "#/$defs/a%7E1b"}},
            },
            {"x": {"n": 1.5}, "y": {"n": -2}},
        ),
        (
            {
                "type": "object",
                "properties": {"a": {"anyOf": [{"type": "integer"}, {"type": "null"}]}},
            },
            {"a": None},
        ),
        (
            {
                "$defs": {
                    "tree": {"type": "object", "properties": {"in": {"$ref": "#/$defs/tree"}}}
                },
                "$ref": "#/$defs/tree",
            },
            {"in": {"in": {"in": {"in": {"in": {"in": {"in": {}}}}}}}},
        ),
    ],
)
def test_what_a_schema_allows_comes_back_as_it_was(schema: Any, value: Any) -> None:
    sent = send(build_fields(schema, value, {}))
    assert read_fields(schema, sent, needs_all=False, proposed=value) == (value, {})


def test_defaults_are_filled_in_and_what_was_typed_stays() -> None:
    schema: Any = {
        "type": "object",
        "required": ["n", "t"],
        "properties": {
            "n": {"type": "integer", "default": 3},
            "t": {"type": "string"},
            "c": {"type": "boolean", "default": True},
        },
    }
    fields = build_fields(schema, None, {})
    assert [(one.control, one.value) for one in fields] == [
        ("number", "3"),
        ("text", ""),
        ("check", "true"),
    ]
    typed = {"/n": "many", "/t": ""}
    value, unread = read_fields(schema, typed, needs_all=True)
    assert (value, unread) == (
        {"c": False},
        {"/n": "This is not a number.", "/t": "This is needed."},
    )
    again = build_fields(schema, None, unread, typed=typed)
    assert [(one.value, one.error) for one in again] == [
        ("many", "This is not a number."),
        ("", "This is needed."),
        ("", ""),
    ]


LIST: Any = {
    "type": "object",
    "properties": {
        "guests": {
            "type": "array",
            "items": {"type": "object", "properties": {"name": {"type": "string"}}},
        }
    },
}


def press(typed: Mapping[str, str], **button: str) -> dict[str, str]:
    """Return what the browser sends next, after a button of a list."""
    edited = edit_lists(LIST, {**typed, **button})
    return send(build_fields(LIST, None, {}, typed=edited))


def test_items_come_and_go_and_keep_what_is_in_them() -> None:
    typed = send(build_fields(LIST, {"guests": [{"name": "Ann"}]}, {}))
    typed = press(typed, more="/guests")
    assert typed == {"/guests": "2", "/guests/0/name": "Ann", "/guests/1/name": ""}
    typed = press(typed | {"/guests/1/name": "Bob"}, more="/guests")
    typed = press(typed | {"/guests/2/name": "Eve"}, less="/guests/1")
    assert read_fields(LIST, typed, needs_all=True) == (
        {"guests": [{"name": "Ann"}, {"name": "Eve"}]},
        {},
    )
    typed = press(typed, more="/guests")
    assert read_fields(LIST, typed, needs_all=True)[0] == {
        "guests": [{"name": "Ann"}, {"name": "Eve"}]
    }, "what was added and left empty is dropped"
    for button in ({"less": "/guests/9"}, {"less": "/guests/x"}, {"more": "/nobody"}):
        edit_lists(LIST, {**typed, **button})
    full = {"/guests": "200"}
    assert edit_lists(LIST, {**full, "more": "/guests"})["/guests"] == "200"


@given(
    st.dictionaries(st.sampled_from(["/guests", "/guests/0", "more", "less", "value"]), st.text())
)
def test_whatever_is_sent_is_read_or_told(typed: dict[str, str]) -> None:
    edited = edit_lists(LIST, typed)
    read_fields(LIST, edited, needs_all=True)
    build_fields(LIST, None, {}, typed=edited)


WORDS: list[tuple[Any, Any, str]] = [
    ({"type": "integer"}, "x", "A whole number is wanted."),
    ({"type": "string", "minLength": 3}, "x", "At least 3 characters."),
    ({"type": "string", "pattern": "^[0-9]+$"}, "x", "Not in the form that is asked for: ^[0-9]+$"),
    ({"enum": ["a"]}, "x", "Choose one of the options."),
    ({"type": "number", "maximum": 3}, 5, "At most 3."),
    ({"type": "number", "exclusiveMinimum": 5}, 5, "More than 5."),
    ({"type": "array", "minItems": 2}, [], "At least 2 of them."),
    ({"not": {}}, 1, "It does not fit: {} is not allowed for 1."),
]


@pytest.mark.parametrize(("part", "value", "words"), WORDS)
def test_what_does_not_fit_is_said_in_words(part: Any, value: Any, words: str) -> None:
    schema: Any = {"type": "object", "properties": {"a": part}, "required": ["b"]}
    found = word_mismatches(mismatches({"a": value}, schema), schema)
    assert found == {"/a": words, "/b": "This is needed."}
    assert word_mismatches(mismatches(value, part), part) == {"value": words}


def make_form(**properties: Any) -> Any:
    return {"type": "object", "properties": properties}


def test_a_list_too_long_for_fields_is_not_cut() -> None:
    arguments: Any = {"ids": [*range(250)], "few": [1, 2]}
    schema = infer_schema(arguments)
    fields = build_fields(schema, arguments, {}, by_names=True)
    assert [one.control for one in fields] == ["json", "list"]
    assert read_fields(schema, send(fields), needs_all=False) == (arguments, {})


def test_an_argument_named_over_two_lines_is_not_lost() -> None:
    arguments: Any = {"pay\nnow": "5"}
    schema = infer_schema(arguments)
    sent = {
        name.replace("\n", "\r\n"): text
        for name, text in send(build_fields(schema, arguments, {})).items()
    }
    assert read_fields(schema, sent, needs_all=False) == (arguments, {})


NUMBERS: list[tuple[str, str, Any]] = [
    ("integer", "1e3", 1000),
    ("integer", "1.0", 1),
    ("integer", str(2**63 + 1), 2**63 + 1),
    ("number", "1.0", 1.0),
    ("number", " 2 ", 2),
    ("number", "1e999", None),
    ("number", "-Infinity", None),
    ("number", "NaN", None),
    ("number", '"5"', None),
    ("integer", "true", None),
    ("integer", "12abc", None),
]


@pytest.mark.parametrize(("type_", "typed", "value"), NUMBERS)
def test_a_number_is_read_exactly_or_told(type_: str, typed: str, value: Any) -> None:
    read, unread = read_fields(make_form(n={"type": type_}), {"/n": typed}, needs_all=True)
    if value is None:
        assert (read, unread) == ({}, {"/n": "This is not a number."})
    else:
        assert (repr(read), unread) == (repr({"n": value}), {})


def test_what_is_wrong_stands_at_its_item_though_one_before_it_was_left_empty() -> None:
    schema = make_form(g={"type": "array", "items": {"type": "string", "minLength": 3}})
    typed = drop_empty_items(schema, {"/g": "2", "/g/0": "", "/g/1": "ab"})
    value, _ = read_fields(schema, typed, needs_all=True)
    errors = word_mismatches(mismatches(value, schema), schema)
    (group,) = build_fields(schema, None, errors, typed=typed)
    assert [(one.value, one.error) for one in group.inside] == [("ab", "At least 3 characters.")]


@pytest.mark.timeout(5)
@pytest.mark.parametrize("branches", [3, 6, 20])
def test_a_schema_that_branches_into_itself_makes_no_million_fields(branches: int) -> None:
    node = make_form(**{f"p{n}": {"$ref": "#/$defs/node"} for n in range(branches)})
    schema: Any = {"$ref": "#/$defs/node", "$defs": {"node": node}}
    fields = build_fields(schema, None, {})
    assert len(fields) == branches
    assert len(send(fields)) <= MOST_FIELDS
    assert len(send(fields)) > branches, "it is as deep as there is room for"
    assert read_fields(schema, send(fields), needs_all=False) == ({}, {})


def test_an_optional_group_with_a_default_can_be_left_alone() -> None:
    group: Any = {**make_form(a={"type": "string", "default": "x"}, b={"type": "string"})}
    schema: Any = make_form(g={**group, "required": ["b"]})
    sent = send(build_fields(schema, None, {}))
    assert read_fields(schema, sent, needs_all=True) == ({}, {})
    assert read_fields(schema, sent | {"/g/b": "y"}, needs_all=True) == (
        {"g": {"a": "x", "b": "y"}},
        {},
    )


def test_what_is_required_and_not_described_can_be_answered() -> None:
    schema: Any = {**make_form(y={"type": "string"}), "required": ["x"]}
    assert [one.name for one in build_fields(schema, None, {})] == ["/y", "/x"]
    assert read_fields(schema, {"/y": "", "/x": "[1]"}, needs_all=True) == ({"x": [1]}, {})
    conditional: Any = {**make_form(y={"type": "string"}), "if": {}, "then": {"required": ["z"]}}
    assert [one.control for one in build_fields(conditional, None, {})] == ["json"]


def test_no_input_changes_what_stands_in_it() -> None:
    schema = make_form(
        day={"type": "string", "format": "date", "maxLength": 20},
        to={"type": "string", "format": "email"},
    )
    day, to = build_fields(schema, {"day": "next Monday", "to": " a@b"}, {})
    assert day.attributes == {"type": "text"}
    assert to.attributes == {"type": "text", "inputmode": "email"}
    (day, _) = build_fields(schema, {"day": "2026-01-31"}, {})
    assert day.attributes == {"type": "date"}


def test_ids_have_no_blanks() -> None:
    (one,) = build_fields(make_form(**{"full name": {"type": "string"}}), None, {})
    assert (one.name, one.id) == ("/full name", "f/full%20name")


def test_a_limit_that_stands_elsewhere_is_not_called_none() -> None:
    schema = make_form(a={"type": "string", "allOf": [{"minLength": 3}, {"maxLength": 9}]})
    found = word_mismatches(mismatches({"a": "x"}, schema), schema)
    assert found == {"/a": "Not in the form that is asked for."}


@pytest.mark.parametrize(
    "button", [{"less": "/guests/²"}, {"more": "/other"}, {"more": "/guests/0/name"}]
)
def test_buttons_of_no_list_change_nothing(button: dict[str, str]) -> None:
    typed = {"/guests": "1", "/guests/0/name": "5"}
    assert edit_lists(LIST, {**typed, **button}) == typed
