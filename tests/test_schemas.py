"""References of a schema: followed wherever they lead, so that no question waits unanswerably."""

import json
import time
from typing import Any

import pytest

from hitl_orchestrator.domain.asking import parse_question
from hitl_orchestrator.domain.checking import estimate_work
from hitl_orchestrator.domain.errors import NotAQuestion
from hitl_orchestrator.domain.records import Json, JsonObject
from hitl_orchestrator.domain.schemas import dangling_reference, mismatches, schema_error

NODE: JsonObject = {"$dynamicAnchor": "node", "type": "integer"}
DANGLING: list[tuple[str, JsonObject]] = [
    ("#nowhere", {"$dynamicRef": "#nowhere"}),
    ("https://example.org/s", {"items": {"$dynamicRef": "https://example.org/s"}}),
    ("#/none", {"definitions": {"b": {"$ref": "#/none"}}, "items": {"$ref": "#/definitions/b"}}),
    ("#none", {"x-own": {"b": {"$dynamicRef": "#none"}}, "not": {"$ref": "#/x-own/b"}}),
    ("#/required", {"required": ["a"], "items": {"$ref": "#/required"}}),
    ("#/x-own", {"x-own": {"type": 5}, "items": {"$ref": "#/x-own"}}),
]
WHOLE: list[JsonObject] = [
    {"$dynamicRef": "#node", "$defs": {"n": NODE}},
    {"items": {"$ref": "#/definitions/n"}, "definitions": {"n": {"type": "integer"}}},
    {"$ref": "#/x-own/yes", "x-own": {"yes": True}},
    {"properties": {"children": {"items": {"$ref": "#"}}}},
    {"$id": "https://a/b", "$ref": "c", "$defs": {"c": {"$id": "https://a/c", "type": "integer"}}},
    {"$ref": "https://json-schema.org/draft/2020-12/schema"},
]


@pytest.mark.parametrize(("reference", "schema"), DANGLING)
def test_a_form_whose_schema_refers_to_nowhere_is_no_question(
    reference: str, schema: JsonObject
) -> None:
    with pytest.raises(NotAQuestion) as refused:
        parse_question({"question": "How many?", "kind": "form", "responseSchema": schema})
    assert reference in refused.value.detail


@pytest.mark.parametrize("schema", [{"$ref": "#"}, {"allOf": [{"$ref": "#/allOf/0"}]}])
def test_a_form_whose_schema_only_refers_to_itself_is_no_question(schema: JsonObject) -> None:
    with pytest.raises(NotAQuestion, match="refers to itself without end"):
        parse_question({"question": "How many?", "kind": "form", "responseSchema": schema})


@pytest.mark.parametrize("schema", WHOLE)
def test_a_schema_that_is_whole_can_be_answered(schema: JsonObject) -> None:
    assert dangling_reference(schema) is None
    assert not [wrong for wrong in mismatches({"a": 1}, schema) if wrong["rule"] == "$ref"]


def test_many_references_are_followed_once() -> None:
    leaves: JsonObject = {f"p{n}": {"$ref": "#/definitions/all"} for n in range(2000)}
    whole: JsonObject = {"definitions": {"all": {"properties": leaves}}, "properties": leaves}
    assert dangling_reference(whole) is None


DEEP: JsonObject = {"anyOf": [{"items": {"$ref": "#"}}, {"items": {"$ref": "#"}}], "minItems": 1}
TWICE: JsonObject = {
    f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}, {"$ref": f"#/$defs/d{n + 1}"}]}
    for n in range(60)
}
DOUBLING: JsonObject = {"$ref": "#/$defs/d0", "$defs": {**TWICE, "d60": {"type": "integer"}}}
NESTED: Json = json.loads("[" * 60 + "]" * 60)
LONG = "a" * 50 + "!"
SLOW: list[tuple[Any, JsonObject]] = [
    (LONG, {"pattern": "^(a+)+$"}),
    (LONG, {"pattern": r"^(a|a+)+\1$"}),
    (LONG, {"not": {"pattern": r"^(a|a+)+\1$"}}),
    ([LONG] * 1000, {"items": {"pattern": r"^(a|a+)+\1$"}}),
    ({LONG: 1}, {"patternProperties": {"^(a+)+$": False}, "additionalProperties": False}),
    ("x", DOUBLING),
    (5, DOUBLING),
    (NESTED, DEEP),
    (["a" * 10 + "!"] * 20_000, {"items": {"anyOf": [{"pattern": r"^(a|a+)+\1$"}, {}]}}),
    (["x"] * 20_000, {"items": {"enum": [str(n) for n in range(20_000)]}}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("value", "schema"), SLOW)
def test_what_would_take_long_does_not_fit_within_seconds(value: Json, schema: JsonObject) -> None:
    began = time.monotonic()
    wrong = mismatches(value, schema, "/data")
    assert wrong
    assert wrong[0]["path"].startswith("/data")
    assert time.monotonic() - began < 15  # a second of work, on a machine that may be busy


def test_an_honest_answer_to_a_pattern_that_looks_around_fits() -> None:
    assert mismatches("abc1", {"pattern": "^(?=.*[0-9]).{4,}$"}) == []
    assert mismatches("abcd", {"pattern": "^(?=.*[0-9]).{4,}$"})[0]["rule"] == "pattern"


@pytest.mark.parametrize(
    ("value", "work"),
    [
        ({"left": {"left": None}, "right": None}, 10**9),
        ([[[[1]]]], 10**9),
    ],
)
def test_a_tree_is_checked_at_once(value: Json, work: int) -> None:
    branch: JsonObject = {"anyOf": [{"type": "null"}, {"$ref": "#"}]}
    tree: JsonObject = {"properties": {"left": branch, "right": branch}}
    assert 0 < estimate_work(tree, value) < work
    assert mismatches(value, tree) == []


def test_a_pattern_that_no_engine_takes_makes_no_schema() -> None:
    assert schema_error({"pattern": "("})
    assert schema_error({"properties": {"a": {"pattern": "a{1000}{1000}{10}"}}})
    assert schema_error({"pattern": r"^(?=x)(?!y)(\w)\1$"}) is None


@pytest.mark.parametrize("schema", [{"pattern": "("}, {"$ref": "#/none"}, {"type": "nothing"}])
def test_what_was_never_a_schema_is_said_not_to_be_checkable(schema: JsonObject) -> None:
    (wrong,) = mismatches("x", schema)
    assert wrong["message"].startswith("cannot be checked")
