"""Filling in a form in the terminal: line by line where a line can hold each value."""

import json
import math
from collections.abc import Callable
from typing import cast

from hitl_orchestrator.server.terminal.console import Terminal
from hitl_orchestrator.server.terminal.errors import BadInput
from hitl_orchestrator.server.terminal.files import parse_json, read_json
from hitl_orchestrator.server.terminal.keyboard import Keyboard
from hitl_orchestrator.server.terminal.text import join_lines
from hitl_orchestrator.server.terminal.wire import Json, JsonObject


def ask_for_form(schema: JsonObject, keyboard: Keyboard, terminal: Terminal) -> JsonObject | None:
    """Return the response with its data; None if the person rejects the question."""
    fields = _list_fields(schema)
    verbs = ["fill in"] if fields else []
    match keyboard.pick([*verbs, "json file", "reject"]):
        case "fill in":
            return {"data": _fill_in(fields, schema.get("required") or [], keyboard, terminal)}
        case "json file":
            return {"data": _ask_for_json(keyboard, terminal)}
        case _:
            return None


def _list_fields(schema: JsonObject) -> dict[str, JsonObject]:
    """Return the properties of an object schema if a line can hold each, else none."""
    properties: JsonObject = schema.get("properties") or {}
    for field in properties.values():
        if not isinstance(field, dict) or _find_reader(cast(JsonObject, field)) is None:
            return {}
    return properties


def _fill_in(
    fields: dict[str, JsonObject], required: list[str], keyboard: Keyboard, terminal: Terminal
) -> JsonObject:
    """Return the values that are typed, the required ones asked for first."""
    names = [name for name in required if name in fields]
    names += [name for name in fields if name not in required]
    filled: JsonObject = {}
    for name in names:
        value = _ask_for_field(name, fields[name], name in required, keyboard, terminal)
        if value is not None:
            filled[name] = value
    return filled


def _ask_for_json(keyboard: Keyboard, terminal: Terminal) -> Json:
    while True:
        try:
            return read_json(keyboard.read_line("The file: ").strip())
        except BadInput as error:
            terminal.say(error.detail, "red")


def _ask_for_field(
    name: str, schema: JsonObject, is_required: bool, keyboard: Keyboard, terminal: Terminal
) -> Json:
    """Return the value that is typed, or the default; None: left out."""
    prompt = _describe_field(name, schema, is_required)
    explanation = _explain_field(name, schema, is_required)
    read = _find_reader(schema) or _read_text
    while True:
        typed = keyboard.read_line(prompt, explanation)
        if not typed.strip() and ("default" in schema or not is_required):
            return schema.get("default")
        try:
            value = read(typed, _list_choices(schema))
            check_value(value, schema)
            return value
        except ValueError as error:
            terminal.say(str(error), "red")


def _describe_field(name: str, schema: JsonObject, is_required: bool) -> str:
    choices = _list_choices(schema)
    hints = [" / ".join(map(_spell, choices)) if choices else str(schema.get("type"))]
    if "default" in schema:
        hints.append(f"Enter for {_spell(schema['default'])}")
    elif not is_required:
        hints.append("may be empty")
    return join_lines(f"{_title(name, schema)} ({'; '.join(hints)}): ") + " "


def _title(name: str, schema: JsonObject) -> str:
    """Return what a field is called; what describes it stands behind."""
    title, description = str(schema.get("title") or name), schema.get("description")
    return f"{title} — {description}" if description else title


def _explain_field(name: str, schema: JsonObject, is_required: bool) -> str:
    limits = "".join(f"\n  {key}: {json.dumps(schema[key])}" for key in _LIMITS if key in schema)
    need = "has to be filled in" if is_required else "may be left empty"
    return f"  {_title(name, schema)}\n  `{name}` in the answer; {need}{limits}"


def name_field(schema: JsonObject, path: str) -> str:
    """Return the title of the field that the path of an error leads to, or what it says."""
    name, _, rest = path.removeprefix("/data").lstrip("/").partition("/")
    properties: JsonObject = schema.get("properties") or {}
    field = properties.get(name)
    title = cast(JsonObject, field).get("title") if isinstance(field, dict) else None
    shown = str(title or name) or "The form"
    return f"{shown}, {rest}" if rest else shown


def _list_choices(schema: JsonObject) -> list[Json]:
    """Return the values to choose from; none where any of the type will do."""
    if schema.get("enum"):
        return schema["enum"]
    return [True, False] if schema.get("type") == "boolean" else []


def _spell(value: Json) -> str:
    """Return a value as a person reads and types it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else json.dumps(value)


Reader = Callable[[str, list[Json]], Json]  # what was typed, the choices -> the value, ValueError


def _find_reader(schema: JsonObject) -> Reader | None:
    """Return what reads such a value from one line."""
    kind = "enum" if "enum" in schema else str(schema.get("type"))
    return _READERS.get(kind)


def _read_text(typed: str, _: list[Json]) -> str:
    return typed


def _read_choice(typed: str, choices: list[Json]) -> Json:
    word = typed.strip().casefold()
    for choice in choices:
        spelling = _spell(choice).casefold()
        if word == spelling or (isinstance(choice, bool) and word == spelling[0]):
            return choice
    raise ValueError("That is not one of the values.")


def _read_number(typed: str, _: list[Json]) -> float:
    number = _parse_or_none(typed)
    if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
        raise ValueError("That is not a number.")
    return number


def _read_integer(typed: str, _: list[Json]) -> int:
    number = _read_number(typed, [])
    if not isinstance(number, int):
        raise ValueError("That is not a whole number.")
    return number


def _parse_or_none(typed: str) -> Json:
    try:
        return parse_json(typed.strip())
    except ValueError:
        return None


def check_value(value: Json, schema: JsonObject) -> None:
    """Raise ValueError if what a line gave breaks a limit of its own; the server checks it all."""
    if isinstance(value, str):
        _check_text(value, schema)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        _check_number(value, schema)


def _check_text(value: str, schema: JsonObject) -> None:
    if len(value) < schema.get("minLength", 0):
        raise ValueError(f"It must have {schema['minLength']} characters at least.")
    if len(value) > schema.get("maxLength", math.inf):
        raise ValueError(f"It has {len(value)} characters, {schema['maxLength']} are allowed.")


def _check_number(value: float, schema: JsonObject) -> None:
    if value < schema.get("minimum", -math.inf):
        raise ValueError(f"It must be {schema['minimum']} at least.")
    if value > schema.get("maximum", math.inf):
        raise ValueError(f"It must be {schema['maximum']} at most.")
    if value <= schema.get("exclusiveMinimum", -math.inf):
        raise ValueError(f"It must be more than {schema['exclusiveMinimum']}.")
    if value >= schema.get("exclusiveMaximum", math.inf):
        raise ValueError(f"It must be less than {schema['exclusiveMaximum']}.")


_LIMITS = (
    "minLength", "maxLength", "pattern", "format",
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
)  # fmt: skip
_READERS: dict[str, Reader] = {
    "enum": _read_choice,
    "boolean": _read_choice,
    "integer": _read_integer,
    "number": _read_number,
    "string": _read_text,
}
