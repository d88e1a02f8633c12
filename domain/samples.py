"""A value that fits a JSON Schema, made up."""

from types import MappingProxyType
from typing import Any, cast

from hitl_orchestrator.domain.records import Json, JsonObject
from hitl_orchestrator.domain.schemas import mismatches

TEXT = "an example"
_FORMATS = MappingProxyType(
    {
        "date": "2026-01-31",
        "date-time": "2026-01-31T12:00:00Z",
        "time": "12:00:00Z",
        "email": "ann@example.org",
        "uri": "https://example.org/",
        "uuid": "00000000-0000-4000-8000-000000000000",
    }
)
_DEEPEST = 20


class NoSample(Exception):
    """Nothing could be made up that fits."""


def make_sample(schema: JsonObject) -> Json:
    """Return a small value that fits the schema. Raise NoSample."""
    made = _make(schema, schema, 0)
    if mismatches(made, schema):
        raise NoSample
    return made


def _make(schema: Any, root: dict[str, Any], depth: int) -> Any:
    if not isinstance(schema, dict) or depth > _DEEPEST:
        if schema is True:
            return TEXT
        raise NoSample
    given = cast(dict[str, Any], schema)
    if reference := given.get("$ref"):
        return _make(_follow(reference, root), root, depth + 1)
    for word in ("const", "default"):
        if word in given:
            return given[word]
    for word in ("enum", "examples"):
        if given.get(word):
            return given[word][0]
    for word in ("anyOf", "oneOf", "allOf"):
        if given.get(word):
            return _make(given[word][0], root, depth + 1)
    return _make_of_type(given, root, depth)


def _follow(reference: object, root: dict[str, Any]) -> Any:
    found: Any = root
    if not str(reference).startswith("#"):
        raise NoSample
    for part in filter(None, str(reference)[1:].split("/")):
        if not isinstance(found, dict):
            raise NoSample
        found = cast(dict[str, Any], found).get(part)
    return found


def _make_of_type(schema: dict[str, Any], root: dict[str, Any], depth: int) -> Any:
    kinds: Any = schema.get("type", "object" if "properties" in schema else "string")
    kind = str(kinds[0] if isinstance(kinds, list) else kinds)  # pyright: ignore[reportUnknownArgumentType]
    match kind:
        case "object":
            names = schema.get("required", [])
            properties = schema.get("properties", {})
            return {name: _make(properties.get(name, True), root, depth + 1) for name in names}
        case "array":
            each = schema.get("items", True)
            return [_make(each, root, depth + 1) for _ in range(schema.get("minItems", 0))]
        case "integer" | "number":
            return _make_number(schema)
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return _make_text(schema)


def _make_number(schema: dict[str, Any]) -> Any:
    if "minimum" in schema:
        return schema["minimum"]
    if "exclusiveMinimum" in schema:
        return schema["exclusiveMinimum"] + 1
    return min(1, schema.get("maximum", 1))


def _make_text(schema: dict[str, Any]) -> str:
    text = _FORMATS.get(schema.get("format", ""), TEXT)
    return text.ljust(schema.get("minLength", 0), ".")[: schema.get("maxLength")]
