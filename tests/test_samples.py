"""What is made up for a schema fits it, or there is nothing."""

from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter

from hitl_orchestrator.domain.records import JsonObject
from hitl_orchestrator.domain.samples import NoSample, make_sample
from hitl_orchestrator.domain.schemas import mismatches


class Author(BaseModel):
    name: str
    books: list["Author"] = []
    age: int | None


SCHEMAS: list[JsonObject] = [
    {},
    {"type": "string", "minLength": 30},
    {"type": "string", "maxLength": 3},
    {"type": "string", "format": "date-time"},
    {"type": "integer", "minimum": 7},
    {"type": "number", "exclusiveMinimum": 0, "maximum": 5},
    {"type": "integer", "maximum": -3},
    {"type": ["null", "string"]},
    {"type": "array", "minItems": 2, "items": {"type": "boolean"}},
    {"enum": ["a", 2]},
    {"const": {"a": 1}},
    {"anyOf": [{"type": "integer"}, {"type": "string"}]},
    {"type": "object", "required": ["a"], "properties": {"a": {"examples": [4]}}},
    {"type": "object", "required": ["a"]},
    TypeAdapter(Author).json_schema(),
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=str)
def test_a_sample_fits(schema: JsonObject) -> None:
    assert mismatches(make_sample(schema), schema) == []


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "pattern": "^[0-9]{4}$"},
        {"not": {}},
        {"$ref": "https://example.org/schema"},
        {"$ref": "#/$defs/missing"},
        {"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
    ],
    ids=str,
)
def test_where_nothing_can_be_made_up_it_is_said(schema: Any) -> None:
    with pytest.raises(NoSample):
        make_sample(schema)
