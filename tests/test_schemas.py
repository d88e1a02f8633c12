"""References of a schema: followed wherever they lead, so that no question waits unanswerably."""

import pytest

from hitl_orchestrator.domain.asking import parse_question
from hitl_orchestrator.domain.errors import NotAQuestion
from hitl_orchestrator.domain.records import JsonObject
from hitl_orchestrator.domain.schemas import dangling_reference, mismatches

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


@pytest.mark.parametrize("schema", WHOLE)
def test_a_schema_that_is_whole_can_be_answered(schema: JsonObject) -> None:
    assert dangling_reference(schema) is None
    assert not [wrong for wrong in mismatches({"a": 1}, schema) if wrong["rule"] == "$ref"]


def test_many_references_are_followed_once() -> None:
    leaves: JsonObject = {f"p{n}": {"$ref": "#/definitions/all"} for n in range(2000)}
    whole: JsonObject = {"definitions": {"all": {"properties": leaves}}, "properties": leaves}
    assert dangling_reference(whole) is None
