"""JSON Schema, as facets and forms use it.

Patterns are those of ECMA-262, as JSON Schema says. The engine matches them in linear time; those
that need to go back and forth (look-around, back-references) it gives up after a while.
"""

from collections.abc import Mapping
from typing import Any, cast

from jsonschema_rs import Draft202012Validator, ValidationError, ValidationErrorKind
from jsonschema_specifications import REGISTRY
from referencing import Resource
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from hitl_orchestrator.domain.checking import (
    LOOKS_AROUND,
    META_SCHEMA,
    PATTERNS,
    describe_unchecked,
    estimate_work,
    fetch_nothing,
    find_errors,
    find_errors_slowly,
    is_beyond_engine,
    refers_to_itself,
)
from hitl_orchestrator.domain.records import Json, JsonObject

REFERENCES = ("$ref", "$dynamicRef")
# Characters of schema times characters of value: 10^9 took at most 0.3 s. What may take more is
# checked in a process that can be ended; starting one takes 0.1 s.
MAX_WORK = 10**9
MAX_WORK_FOR_ALL = 10**7  # beyond it one mismatch is told, not all: each may quote much

_meta = Draft202012Validator(META_SCHEMA, validate_formats=True, retriever=fetch_nothing)


def schema_error(schema: JsonObject) -> str | None:
    """Say why this is not a JSON Schema; None: it is one."""
    if is_beyond_engine(schema):
        return LOOKS_AROUND
    for error in _meta.iter_errors(schema):
        return error.message
    try:
        _build(schema)
    except ValidationError as error:
        # of a reference: where it leads is asked of `dangling_reference`
        is_pattern = isinstance(error.kind, ValidationErrorKind.Format)
        return error.message if is_pattern else None
    except ValueError as error:  # nested too deeply
        return str(error)
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
    """Return [{path, rule, message}] of what does not fit, or of what cannot be checked in time.

    Paths are JSON pointers below `root`. Remote `$ref`s are not fetched. Raise CheckPending, inside
    `knowing`.
    """
    if refers_to_itself(schema):
        found = [describe_unchecked("$ref", "the schema refers to itself without end")]
    elif (work := estimate_work(schema, value)) > MAX_WORK:
        found = find_errors_slowly(schema, value)
    else:
        found = find_errors(schema, value, at_most_one=work > MAX_WORK_FOR_ALL)
    return sorted(
        [
            {"path": root + each["path"], "rule": each["rule"], "message": each["message"]}
            for each in found
        ],
        key=lambda mismatch: mismatch["path"],
    )


def _build(schema: JsonObject) -> Draft202012Validator:
    return Draft202012Validator(
        schema, pattern_options=PATTERNS, validate_formats=False, retriever=fetch_nothing
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
