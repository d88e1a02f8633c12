"""A JSON Schema as a form sees it: which control each part of it wants."""

import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, cast
from urllib.parse import unquote

from hitl_orchestrator.domain.records import Json, JsonObject

DEEPEST = 6  # groups within groups; what is deeper, or refers to itself, is written as JSON
MOST_FIELDS = 500  # of groups within groups: references that branch make 10 fields a million
MOST_ITEMS = 200  # of a list; a longer one is written as JSON
# What decides by the value which properties there are: no fixed fields say that.
CONDITIONAL = ("if", "patternProperties", "dependentSchemas", "allOf", "anyOf", "oneOf")
LONGEST_LINE = 200
ROOT = "value"  # the name of an input that is the whole answer

Schema = Mapping[str, Any]


class Control(StrEnum):
    TEXT = "text"
    NUMBER = "number"
    CHECK = "check"
    SELECT = "select"
    GROUP = "group"
    LIST = "list"
    JSON = "json"


def find_control(schema: Schema, is_required: bool, depth: int) -> Control:
    """Return how a part is filled in. `schema`: resolved."""
    type_ = find_type(schema)
    if list_choices(schema):
        return Control.SELECT
    if type_ == "object":
        is_fixed = not any(word in schema for word in CONDITIONAL)
        is_group = list_properties(schema) and is_fixed and depth < DEEPEST
        return Control.GROUP if is_group else Control.JSON
    if type_ == "array" and isinstance(schema.get("items"), dict) and depth < DEEPEST:
        return Control.LIST
    if type_ == "boolean":
        is_simple = not is_nullable(schema) and (is_required or "default" in schema)
        return Control.CHECK if is_simple else Control.SELECT
    if type_ in ("integer", "number"):
        return Control.NUMBER
    return Control.TEXT if type_ == "string" else Control.JSON


def find_start(root: Schema) -> int:
    """Return the depth to begin with, so that a form gets no more than MOST_FIELDS.

    Its own properties it always gets.
    """
    for start in range(DEEPEST - 1):
        if _count_fields(root, root, start, MOST_FIELDS) >= 0:
            return start
    return DEEPEST - 1


def _count_fields(schema: Any, root: Schema, depth: int, left: int) -> int:
    """Return how many more fields there may be; less than 0: there are too many."""
    schema, left = resolve(schema, root), left - 1
    control = find_control(schema, True, depth)
    parts: Sequence[Any] = ()
    if control is Control.GROUP:
        parts = [*list_properties(schema).values()]
    elif control is Control.LIST:
        parts = [schema["items"]]
    for part in parts:
        if left < 0:
            break
        left = _count_fields(part, root, depth + 1, left)
    return left


def resolve(schema: Any, root: Schema) -> Schema:
    """Follow references; see through what stands for one schema alone, null aside."""
    for _ in range(16):
        if not isinstance(schema, dict):
            return {}
        found = cast(dict[str, Any], schema)
        inner, word = _look_inside(found, root)
        if word is None:
            return found
        schema = {**inner, **{name: part for name, part in found.items() if name != word}}
    return {}


def _look_inside(schema: Schema, root: Schema) -> tuple[Schema, str | None]:
    """Return what it stands for, and by which word; None: it is what it is."""
    if isinstance(reference := schema.get("$ref"), str):
        return _follow(reference, root), "$ref"
    for word in ("anyOf", "oneOf"):
        branches = _list_schemas(schema.get(word))
        real = [one for one in branches if one.get("type") != "null"]
        if len(real) == 1 and len(branches) == 2:  # a value or null
            inner = real[0]
            types = inner.get("type")
            nullable = [types, "null"] if isinstance(types, str) else types
            return ({**inner, "type": nullable} if nullable else inner), word
        if len(branches) == 1:
            return branches[0], word
    if len(all_ := _list_schemas(schema.get("allOf"))) == 1:
        return all_[0], "allOf"
    return {}, None


def _follow(reference: str, root: Schema) -> Schema:
    target: Any = root
    if not reference.startswith("#"):
        return {}
    for part in unquote(reference[1:]).split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(target, list):
            items = cast(list[Any], target)
            target = items[int(name)] if name.isdigit() and int(name) < len(items) else None
        elif isinstance(target, dict):
            target = cast(dict[str, Any], target).get(name)
        else:
            return {}
    return cast(Schema, target) if isinstance(target, dict) else {}


def _list_schemas(branches: Any) -> list[dict[str, Any]]:
    found = cast(list[Any], branches) if isinstance(branches, list) else []
    return [cast(dict[str, Any], one) for one in found if isinstance(one, dict)]


def find_type(schema: Schema) -> str:
    """Return its one type, null aside; empty: it has none, or several."""
    types = schema.get("type")
    if isinstance(types, str):
        return types
    if isinstance(types, list):
        real = [one for one in cast(list[Any], types) if one != "null"]
        return str(real[0]) if len(real) == 1 else ""
    return "object" if "properties" in schema and types is None else ""


def is_nullable(schema: Schema) -> bool:
    types = schema.get("type")
    return isinstance(types, list) and "null" in types


def list_choices(schema: Schema) -> list[tuple[str, str]]:
    """Return (JSON of the value, what a person reads) of what can be chosen."""
    if isinstance(values := schema.get("enum"), list):
        return [(json.dumps(one), _label(one)) for one in cast(list[Json], values)]
    if "const" in schema:
        return [(json.dumps(schema["const"]), _label(schema["const"]))]
    branches = _list_schemas(schema.get("oneOf"))
    if branches and all("const" in one for one in branches):
        return [
            (json.dumps(one["const"]), one.get("title") or _label(one["const"])) for one in branches
        ]
    if find_type(schema) == "boolean":
        return []
    return []


def _label(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def list_properties(schema: Schema) -> dict[str, Any]:
    """Return its properties, also those of which it says only that they are required."""
    found = schema.get("properties")
    known = cast(dict[str, Any], found) if isinstance(found, dict) else {}
    return {**known, **{name: {} for name in list_required(schema) if name not in known}}


def list_required(schema: Schema) -> Sequence[str]:
    found = schema.get("required")
    return cast(list[str], found) if isinstance(found, list) else []


def point(at: str, name: str | int) -> str:
    """Return the JSON pointer of what is so named within."""
    return f"{at}/{str(name).replace('~', '~0').replace('/', '~1')}"


def infer_schema(value: Json) -> JsonObject:
    """Return a schema for arguments that have none: each keeps its type.

    What has no control that would give it back exactly is written as JSON.
    """
    if isinstance(value, dict) and value and all(map(_is_name_of_input, value)):
        properties: JsonObject = {name: infer_schema(part) for name, part in value.items()}
        return {"type": "object", "properties": properties, "required": list[Json](value)}
    if isinstance(value, list) and 0 < len(value) <= MOST_ITEMS:
        items = [infer_schema(item) for item in value]
        is_even = bool(items[0]) and all(item == items[0] for item in items)
        return {"type": "array", "items": items[0]} if is_even else {}
    if isinstance(value, str):
        return {} if "\r" in value else {"type": "string"}
    kinds: Mapping[type, str] = {bool: "boolean", int: "integer", float: "number"}
    return {"type": kinds[type(value)]} if type(value) in kinds else {}


def _is_name_of_input(name: str) -> bool:
    """Tell whether a browser sends it as it is: it sends each end of a line as two characters."""
    return "\n" not in name and "\r" not in name
