"""A form made from a JSON Schema, and what was filled in read back.

Between the two stands what a browser sends: texts, by the JSON pointers of what they are for.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, NoReturn, cast

from hitl_orchestrator.domain.records import Json
from hitl_orchestrator.server.inbox.schema_parts import (
    LONGEST_LINE,
    MOST_ITEMS,
    ROOT,
    Control,
    Schema,
    find_control,
    find_start,
    find_type,
    is_nullable,
    list_choices,
    list_properties,
    list_required,
    point,
    resolve,
)

Typed = Mapping[str, str]
YES_NO = [("true", "Yes"), ("false", "No")]
# Not type="email" and "url": browsers change what stands in them before they send it.
INPUT_MODES = {"email": "email", "uri": "url"}
DATE = re.compile(r"\d{4}-\d\d-\d\d")
NEEDED = "This is needed."


@dataclass
class Field:
    """`name`: of the input; `value`: its text, or that of the chosen option."""

    name: str
    label: str
    control: Control
    value: str = ""
    help: str = ""
    required: bool = False
    error: str = ""
    options: Sequence[tuple[str, str]] = ()
    inside: Sequence["Field"] = ()
    attributes: Mapping[str, str] = field(default_factory=dict[str, str])
    is_long: bool = False
    in_list: bool = False

    @property
    def id(self) -> str:
        """Return an id without blanks: `aria-describedby` takes a list of ids."""
        return "f" + re.sub(r"\s", lambda found: f"%{ord(found[0]):02X}", self.name)

    @property
    def rows(self) -> int:
        lines = sum(1 + len(line) // 70 for line in self.value.split("\n"))
        return min(max(lines, 2), 14)


class _Form(NamedTuple):
    """What all parts of a form are made with."""

    root: Schema
    typed: Typed
    errors: Mapping[str, str]
    by_names: bool


def build_fields(
    schema: Json,
    value: Json,
    errors: Mapping[str, str],
    *,
    by_names: bool = False,
    typed: Typed | None = None,
) -> list[Field]:
    """Return the fields of a form. `errors`: messages by the inputs' names.

    `value`: what stands in it, if nothing was `typed` yet. `by_names`: properties are called as
    they are, as arguments of an action are.
    """
    root = schema if isinstance(schema, dict) else {}
    if typed is None:
        typed = write_form(root, value)
    form = _Form(root, typed, errors, by_names)
    top = _build(form, root, "", "Answer", is_required=True, depth=find_start(root))
    return [*top.inside] if top.control is Control.GROUP else [top]


def _build(form: _Form, schema: Any, at: str, label: str, is_required: bool, depth: int) -> Field:
    schema = resolve(schema, form.root)
    name = at or ROOT
    control = find_control(schema, is_required, depth)
    made = Field(
        name=name,
        label=str(schema.get("title") or label),
        control=control,
        value=form.typed.get(name, ""),
        help=str(schema.get("description") or ""),
        required=is_required and control is not Control.CHECK,
        error=form.errors.get(name, ""),
    )
    if control is Control.SELECT:
        made.options = list_choices(schema) or YES_NO
        if is_nullable(schema) and "null" not in [value for value, _ in made.options]:
            made.required = False
    elif control is Control.GROUP:
        made.inside = _build_group(form, schema, at, depth)
    elif control is Control.LIST:
        made.inside = _build_items(form, schema, at, made.label, depth)
        made.attributes = {"count": str(len(made.inside))}
    elif control is Control.TEXT:
        made.is_long = _is_long(schema, made.value)
        made.attributes = _find_attributes(schema, made)
    return made


def _build_group(form: _Form, schema: Schema, at: str, depth: int) -> list[Field]:
    known, required = list_properties(schema), list_required(schema)
    fields = [
        _build(form, part, point(at, name), _label(form, name), name in required, depth + 1)
        for name, part in known.items()
    ]
    return fields + [
        Field(at_, _read_name(at_), Control.JSON, form.typed[at_], error=form.errors.get(at_, ""))
        for at_ in _find_unknown(form.typed, at, known)
    ]


def _build_items(form: _Form, schema: Schema, at: str, label: str, depth: int) -> list[Field]:
    fields: list[Field] = []
    for number in range(count_items(form.typed, at)):
        name = f"{label} {number + 1}"
        one = _build(form, schema["items"], point(at, number), name, False, depth + 1)
        if one.control is not Control.GROUP:
            one.label = name
        one.required = True  # what is there is there; it can be taken out
        one.in_list = True
        fields.append(one)
    return fields


def _is_long(schema: Schema, text: str) -> bool:
    most = schema.get("maxLength")
    wants_lines = isinstance(most, int) and most > LONGEST_LINE
    return wants_lines or schema.get("format") == "textarea" or len(text) > 90 or "\n" in text


def _find_attributes(schema: Schema, made: Field) -> dict[str, str]:
    """Return no `maxlength`: a browser cuts off what is pasted, and says nothing."""
    if made.is_long:
        return {}
    wanted = str(schema.get("format"))
    # an input for dates is blank if another text stands in it
    if wanted == "date" and (not made.value or DATE.fullmatch(made.value)):
        return {"type": "date"}
    mode = INPUT_MODES.get(wanted)
    return {"type": "text", "inputmode": mode} if mode else {"type": "text"}


def _label(form: _Form, name: str) -> str:
    if form.by_names:
        return name
    words = re.sub(r"(?<=[a-z\d])(?=[A-Z])", " ", name).replace("_", " ").replace("-", " ").strip()
    return words[:1].upper() + words[1:].lower() if not words.isupper() else words


def write_form(root: Schema, value: Json) -> dict[str, str]:
    """Return what a browser would send of a form that nobody has touched."""
    typed: dict[str, str] = {}
    is_there = value is not None or not root.get("properties")
    _write(root, root, value, is_there, "", True, find_start(root), typed)
    return typed


def _write(
    root: Schema,
    schema: Any,
    value: Json,
    is_there: bool,
    at: str,
    is_required: bool,
    depth: int,
    typed: dict[str, str],
) -> None:
    schema = resolve(schema, root)
    if not is_there and "default" in schema:
        value, is_there = schema["default"], True
    name = at or ROOT
    control = find_control(schema, is_required, depth)
    if control is Control.GROUP and (isinstance(value, dict) or not is_there):
        given = value if isinstance(value, dict) else {}
        known, required = list_properties(schema), list_required(schema)
        for key, part in known.items():
            within = (point(at, key), key in required, depth + 1)
            _write(root, part, given.get(key), key in given, *within, typed)
        for key in given.keys() - known.keys():
            typed[point(at, key)] = _write_json(given[key])
    elif control is Control.LIST and (isinstance(value, list) or not is_there):
        least = schema.get("minItems")
        empty: list[Json] = [None] * (min(least, MOST_ITEMS) if isinstance(least, int) else 0)
        items = value if isinstance(value, list) else empty
        typed[name] = str(len(items))
        for number, item in enumerate(items):
            within = (point(at, number), True, depth + 1)
            _write(root, schema["items"], item, isinstance(value, list), *within, typed)
    elif control is Control.CHECK:
        if value is True:
            typed[name] = "true"
    elif not is_there:
        typed[name] = ""
    elif control is Control.TEXT and isinstance(value, str):
        typed[name] = value
    elif control is Control.SELECT:
        typed[name] = json.dumps(value)
    else:
        typed[name] = "" if value is None and is_nullable(schema) else _write_json(value)


def _write_json(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)


class _Reading(NamedTuple):
    root: Schema
    typed: Typed
    needs_all: bool
    errors: dict[str, str]


MISSING = object()
EXACT = 2.0**53  # up to it a float is the whole number that was written


def read_fields(
    schema: Json, typed: Typed, *, needs_all: bool, proposed: Json = None
) -> tuple[Json, dict[str, str]]:
    """Return what was filled in, and what could not be read, by the inputs' names.

    `needs_all`: what is required must not be empty, as in a form; the text of an argument may have
    been. `proposed`: what stood there: an empty input leaves an empty text or null as it was.
    """
    root = schema if isinstance(schema, dict) else {}
    if needs_all:
        typed = drop_empty_items(schema, typed)
    reading = _Reading(root, typed, needs_all, {})
    value = _read(reading, root, "", True, find_start(root), proposed)
    return (None if value is MISSING else value), reading.errors


def _read(
    reading: _Reading, schema: Any, at: str, is_required: bool, depth: int, proposed: Any
) -> Any:
    schema = resolve(schema, reading.root)
    name = at or ROOT
    control = find_control(schema, is_required, depth)
    if control is Control.GROUP:
        return _read_group(reading, schema, at, is_required, depth, proposed)
    if control is Control.LIST:
        return _read_list(reading, schema, at, is_required, depth, proposed)
    if control is Control.CHECK:
        return reading.typed.get(name) == "true"
    text = reading.typed.get(name, "").replace("\r\n", "\n")
    if not text:
        return _read_nothing(reading, schema, name, control, is_required, proposed)
    if control is Control.TEXT:
        return text
    if control is Control.NUMBER:
        return _read_number(reading, name, text.strip(), find_type(schema))
    return _read_json(reading, name, text)


def _read_nothing(
    reading: _Reading, schema: Schema, name: str, control: Control, is_required: bool, proposed: Any
) -> Any:
    """An empty text is a text to JSON Schema; in a form it is an answer that is missing."""
    if not reading.needs_all and (proposed == "" or (proposed is None and is_nullable(schema))):
        return proposed
    if not is_required:
        return MISSING
    if is_nullable(schema):
        return None
    if reading.needs_all or control is not Control.TEXT:
        reading.errors[name] = NEEDED
        return MISSING
    return ""


def _read_number(reading: _Reading, name: str, text: str, type_: str) -> Any:
    """Return a whole number as one, also where it is written 1.0 or 1e3."""
    try:
        number = json.loads(text, parse_constant=_refuse, parse_float=_read_float)
    except (ValueError, RecursionError):
        number = None
    if isinstance(number, bool) or not isinstance(number, int | float):
        reading.errors[name] = "This is not a number."
        return MISSING
    is_whole = isinstance(number, float) and number.is_integer() and abs(number) <= EXACT
    return int(number) if type_ == "integer" and is_whole else number


def _read_json(reading: _Reading, name: str, text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_read_float)
    except (ValueError, RecursionError):
        reading.errors[name] = "This is not JSON."
        return MISSING


def _read_float(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse(text)


def _refuse(name: str) -> NoReturn:
    raise ValueError(name)


def _read_group(
    reading: _Reading, schema: Schema, at: str, is_required: bool, depth: int, proposed: Any
) -> Any:
    if not is_required and at and _is_untouched(reading, schema, at, depth, proposed):
        return MISSING
    known, required = list_properties(schema), list_required(schema)
    before = cast(dict[str, Any], proposed) if isinstance(proposed, dict) else {}
    found: dict[str, Any] = {}
    for name, part in known.items():
        there = before.get(name, MISSING)
        found[name] = _read(reading, part, point(at, name), name in required, depth + 1, there)
    for at_ in _find_unknown(reading.typed, at, known):
        found[_read_name(at_)] = _read_json(reading, at_, reading.typed[at_])
    read = {name: value for name, value in found.items() if value is not MISSING}
    in_order = [name for name in before if name in read]
    return {name: read[name] for name in dict.fromkeys([*in_order, *read])}


def _is_untouched(reading: _Reading, schema: Schema, at: str, depth: int, proposed: Any) -> bool:
    """Tell whether an optional group was left alone: it was not there, and nothing was typed."""
    if proposed not in (MISSING, None):
        return False
    untouched: dict[str, str] = {}
    _write(reading.root, schema, None, False, at, False, depth, untouched)
    return _list_within(reading.typed, at) == _list_within(untouched, at)


def _list_within(typed: Typed, at: str) -> dict[str, str]:
    """Return what is typed in a group; nothing, and no items, are not."""
    is_typed = {name: text for name, text in typed.items() if text not in ("", "0")}
    return {name: text for name, text in is_typed.items() if name.startswith(f"{at}/")}


def _read_list(
    reading: _Reading, schema: Schema, at: str, is_required: bool, depth: int, proposed: Any
) -> Any:
    before = cast(list[Any], proposed) if isinstance(proposed, list) else []
    items: list[Any] = []
    for number in range(count_items(reading.typed, at)):
        there = before[number] if number < len(before) else MISSING
        items.append(_read(reading, schema["items"], point(at, number), True, depth + 1, there))
    found = [item for item in items if item is not MISSING]
    is_there = bool(found) or is_required or isinstance(proposed, list)
    return found if is_there else MISSING


def _is_empty(typed: Typed, at: str) -> bool:
    """Tell whether an item was added and left empty."""
    own = [text for name, text in typed.items() if name == at or name.startswith(f"{at}/")]
    return not any(text not in ("", "0") for text in own)


def drop_empty_items(schema: Json, typed: Typed) -> dict[str, str]:
    """Return the form without the items that were added and left empty; those behind move up.

    What does not fit is told by the places that are left, so this is the form to show it in.
    """
    root = schema if isinstance(schema, dict) else {}
    left = dict(typed)
    empty = [*_find_empty_items(root, root, "", find_start(root), typed)]
    for at, number in reversed(empty):
        left = _take_out(left, at, number)
    return left


def _find_empty_items(
    root: Schema, schema: Any, at: str, depth: int, typed: Typed
) -> Iterator[tuple[str, int]]:
    """Yield (list, number) in the order of the form."""
    schema = resolve(schema, root)
    control = find_control(schema, True, depth)
    if control is Control.GROUP:
        for name, part in list_properties(schema).items():
            yield from _find_empty_items(root, part, point(at, name), depth + 1, typed)
    elif control is Control.LIST:
        for number in range(count_items(typed, at)):
            item = point(at, number)
            if _is_empty(typed, item):
                yield at, number
            else:
                yield from _find_empty_items(root, schema["items"], item, depth + 1, typed)


def count_items(typed: Typed, at: str) -> int:
    count = typed.get(at or ROOT, "")
    return (
        min(int(count), MOST_ITEMS) if count.isascii() and count.isdigit() and len(count) < 6 else 0
    )


def edit_lists(schema: Json, typed: Typed) -> dict[str, str]:
    """Return the form after its button `more` or `less` was pressed.

    `more`: the name of a list that gets an item; `less`: the item that is taken out.
    """
    root = schema if isinstance(schema, dict) else {}
    edited = {name: text for name, text in typed.items() if name not in ("more", "less")}
    if name := typed.get("more"):
        at = "" if name == ROOT else name
        count = count_items(edited, at)
        part = resolve(find_part(root, at), root)
        if count < MOST_ITEMS and isinstance(part.get("items"), dict):
            edited[name] = str(count + 1)
            depth = find_start(root) + at.count("/") + 1
            _write(root, part["items"], None, False, point(at, count), True, depth, edited)
    elif name := typed.get("less"):
        at, _, number = name.rpartition("/")
        if number.isascii() and number.isdigit() and int(number) < count_items(edited, at):
            edited = _take_out(edited, at, int(number))
    return edited


def find_part(root: Schema, at: str) -> Any:
    """Return the schema of what the pointer leads to."""
    part: Any = root
    for name in at.split("/")[1:]:
        part = resolve(part, root)
        known = list_properties(part)
        key = name.replace("~1", "/").replace("~0", "~")
        part = known[key] if key in known else part.get("items", {})
    return part


def _take_out(typed: Typed, at: str, number: int) -> dict[str, str]:
    """Take an item out; those behind it move up."""
    edited: dict[str, str] = {}
    for name, text in typed.items():
        own = re.match(rf"{re.escape(at)}/(\d+)(?=/|$)", name)
        if own is None:
            edited[name] = text
        elif (there := int(own[1])) != number:
            moved = there - (there > number)
            edited[f"{at}/{moved}{name[own.end() :]}"] = text
    edited[at or ROOT] = str(count_items(typed, at) - 1)
    return edited


def _find_unknown(typed: Typed, at: str, known: Mapping[str, Any]) -> list[str]:
    """Return the inputs of what stood there and is in no schema."""
    names = {point(at, name) for name in known}
    direct = re.compile(rf"{re.escape(at)}/[^/]*")
    return [name for name in typed if direct.fullmatch(name) and name not in names]


def _read_name(at: str) -> str:
    return at.rpartition("/")[2].replace("~1", "/").replace("~0", "~")
