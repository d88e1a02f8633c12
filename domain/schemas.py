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
REFERENCES = ("$ref", "$dynamicRef")


def schema_error(schema: JsonObject) -> str | None:
    """Say why this is not a JSON Schema; None: it is one."""
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        return error.message
    return None


def dangling_reference(schema: JsonObject) -> str | None:
    """Return the first reference that leads to no schema: nothing could be checked against it.

    References are followed wherever they lead within the schema. None: there is none.
    """
    root: Resource[Any] = DRAFT202012.create_resource(schema)
    seen: set[int] = set()
    to_follow = _references(root, REGISTRY.resolver_with_root(root), seen)
    while to_follow:
        reference, resolver = to_follow.pop()
        try:
            found = resolver.lookup(reference)
        except Unresolvable:
            return reference
        if id(found.contents) in seen:
            continue
        if not _is_schema(found.contents):
            return reference
        target = DRAFT202012.create_resource(found.contents)
        to_follow += _references(target, found.resolver, seen)
    return None


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


def _references(resource: Resource[Any], resolver: Any, seen: set[int]) -> list[tuple[str, Any]]:
    """Return what it and all within it refer to, each with where it is looked up from.

    What was `seen` is left out, and all within it is seen now.
    """
    found: list[tuple[str, Any]] = []
    within = [(resource, resolver)]
    while within:
        resource, resolver = within.pop()
        if id(resource.contents) in seen:
            continue
        seen.add(id(resource.contents))
        within += [(each, resolver.in_subresource(each)) for each in resource.subresources()]
        if isinstance(resource.contents, Mapping):
            schema = cast(Mapping[str, str], resource.contents)
            found += [(schema[name], resolver) for name in REFERENCES if name in schema]
    return found


def _is_schema(contents: Any) -> bool:
    return isinstance(contents, bool | Mapping) and schema_error(cast(Any, contents)) is None
