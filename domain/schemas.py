"""JSON Schema, as facets and forms use it."""

from collections.abc import Iterable, Mapping
from typing import Any, cast

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema_specifications import REGISTRY
from referencing import Registry, Resource
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from hitl_orchestrator.domain.records import Json, JsonObject

MAX_MISMATCHES = 20


def schema_error(schema: JsonObject) -> str | None:
    """Say why this is not a JSON Schema; None: it is one."""
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        return error.message
    return None


def dangling_reference(schema: JsonObject) -> str | None:
    """Return the first `$ref` that leads nowhere within the schema.

    Nothing could be checked against such a schema. None: there is none.
    """
    root: Resource[Any] = DRAFT202012.create_resource(schema)
    return _dangling(root, REGISTRY.with_resource("", root).resolver())


def mismatches(value: Json, schema: JsonObject, root: str = "") -> list[dict[str, str]]:
    """Return [{path, rule, message}] of what does not fit.

    Paths are JSON pointers below `root`. Remote `$ref`s are not fetched.
    """
    validator = Draft202012Validator(schema, registry=Registry())
    errors: Iterable[ValidationError] = validator.iter_errors(value)
    try:
        found = [
            {
                "path": root + _pointer(error),
                "rule": str(error.validator),
                "message": error.message[:500],
            }
            for error, _ in zip(errors, range(MAX_MISMATCHES), strict=False)
        ]
    except (Unresolvable, RecursionError) as error:
        return [{"path": root, "rule": "$ref", "message": f"cannot be checked: {str(error)[:500]}"}]
    return sorted(found, key=lambda mismatch: mismatch["path"])


def _pointer(error: ValidationError) -> str:
    return "".join(
        "/" + str(part).replace("~", "~0").replace("/", "~1") for part in error.absolute_path
    )


def _dangling(resource: Resource[Any], resolver: Any) -> str | None:
    contents: Any = resource.contents
    reference = (
        cast(Mapping[str, str], contents).get("$ref") if isinstance(contents, Mapping) else None
    )
    try:
        _ = reference and resolver.lookup(reference)
    except Unresolvable:
        return reference
    inner = (_dangling(each, resolver.in_subresource(each)) for each in resource.subresources())
    return next((found for found in inner if found), None)
