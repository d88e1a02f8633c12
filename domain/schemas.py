"""JSON Schema, as facets and forms use it."""

from collections.abc import Iterable

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from referencing import Registry

from domain.records import Json, JsonObject

MAX_MISMATCHES = 20


def schema_error(schema: JsonObject) -> str | None:
    """Why this is not a JSON Schema, or None."""
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        return error.message
    return None


def mismatches(value: Json, schema: JsonObject, root: str = "") -> list[dict[str, str]]:
    """[{path, rule, message}] of what does not fit, paths as JSON pointers below `root`. Remote `$ref`s are not fetched."""
    validator = Draft202012Validator(schema, registry=Registry())
    errors: Iterable[ValidationError] = validator.iter_errors(value)
    found = [
        {"path": root + "".join(f"/{part}" for part in error.absolute_path), "rule": str(error.validator), "message": error.message[:500]}
        for error, _ in zip(errors, range(MAX_MISMATCHES), strict=False)
    ]
    return sorted(found, key=lambda mismatch: mismatch["path"])
