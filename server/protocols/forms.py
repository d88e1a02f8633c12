"""A question as a flat form, and the filled-in form as a response.

For clients that show texts, numbers, yes or no and lists, and nothing deeper: what is deeper is
typed as JSON. The form is prefilled, but decides nothing by itself: the decision is a field.
"""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, cast

JsonObject = dict[str, Any]

FIELD = "field_"  # before the names of an action's arguments and of a form's fields
ANSWER = "answer"
_MEANS: Mapping[str, str] = MappingProxyType(
    {
        "approve": "approve: yes, exactly as shown.",
        "edit": "edit: yes, with the fields below as they are now.",
        "reject": "reject: no; the text is the reason.",
        "respond": "respond: not done; the text is told to the agent.",
        ANSWER: "answer: with what is filled in below.",
    }
)
_PLAIN = ("string", "number", "integer", "boolean")
_TYPES: Mapping[type, str] = MappingProxyType(
    {bool: "boolean", int: "number", float: "number", str: "string"}
)
_LIMITS = ("description", "minLength", "maxLength", "minimum", "maximum")
_FORMATS = ("email", "uri", "date", "date-time")


class FormMisfit(Exception):
    """A form was filled in so that it is not certain what was decided. `detail` is for a person."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class _Field(NamedTuple):
    """`value`: what it is prefilled with, if it is."""

    name: str
    schema: JsonObject
    value: object
    is_prefilled: bool
    is_required: bool

    @property
    def type(self) -> str | None:
        """Return JSON Schema's word for what is filled in; None: a text of JSON."""
        declared = self.schema.get("type")
        if self.is_prefilled:
            is_whole = declared == "integer" and type(self.value) is int
            return "integer" if is_whole else _TYPES.get(type(self.value))
        if declared in _PLAIN:
            return declared
        return "string" if _has_words(self.schema) else None


def _has_words(schema: JsonObject) -> bool:
    """Tell whether it is a choice of texts."""
    words = cast("list[object]", schema.get("enum") or [])
    return bool(words) and all(isinstance(word, str) for word in words)


def build_form(request: JsonObject) -> JsonObject:
    """Return the JSON Schema of the form: an object of plain values."""
    decisions = list_decisions(request)
    means = "\n".join(_MEANS[each] for each in decisions)
    decision = {"type": "string", "title": "Decision", "description": means, "enum": decisions}
    if decisions[0] == ANSWER:
        decision["default"] = ANSWER
    properties: JsonObject = {"decision": decision}
    if options := request.get("options"):
        ids = [option["id"] for option in options]
        properties["option"] = {"type": "string", "title": "Option", "enum": ids}
    for field in _list_fields(request):
        properties[FIELD + field.name] = _build_field(field)
    if _takes_json(request):
        properties["json"] = {"type": "string", "title": "The answer as JSON"}
    properties["text"] = {"type": "string", "title": "Text: an answer, a reason, a comment"}
    return {"type": "object", "properties": properties, "required": ["decision"]}


def list_decisions(request: JsonObject) -> list[str]:
    """Return what a person may choose; of an action the names are the action's own."""
    if action := request.get("action"):
        return list(action["allowedDecisions"])
    match request["kind"]:
        case "approval":
            return ["approve", "reject"]
        case "open":
            return ["approve", ANSWER, "reject"]
        case _:
            return [ANSWER, "reject"]


def _list_fields(request: JsonObject) -> list[_Field]:
    schema: JsonObject = request.get("responseSchema") or {}
    properties = {name: _drop_null(of_field) for name, of_field in _list_properties(schema).items()}
    required = schema.get("required", [])
    if request.get("action"):
        if "edit" not in list_decisions(request):
            return []
        arguments: JsonObject = request["action"]["arguments"]
        return [
            _Field(name, properties.get(name, {}), value, True, True)
            for name, value in arguments.items()
        ]
    return [_make_field(name, field, name in required) for name, field in properties.items()]


def _make_field(name: str, schema: JsonObject, is_required: bool) -> _Field:
    default = schema.get("default")
    return _Field(name, schema, default, default is not None, is_required)


def _list_properties(schema: JsonObject) -> JsonObject:
    """Return the schemas of the fields; none where the whole is typed as JSON."""
    properties: JsonObject = schema.get("properties") or {}
    are_objects = all(isinstance(each, dict) for each in properties.values())
    return properties if are_objects and schema.get("type", "object") == "object" else {}


def _drop_null(schema: JsonObject) -> JsonObject:
    """Return the schema of the value, if it is one of a value or null."""
    either = cast("list[JsonObject]", schema.get("anyOf", []))
    values = [one for one in either if one.get("type") != "null"]
    if len(values) != 1 or len(either) != 2:
        return schema
    return {**{key: value for key, value in schema.items() if key != "anyOf"}, **values[0]}


def _takes_json(request: JsonObject) -> bool:
    """Tell whether any JSON may be the answer, or one that no flat form has place for."""
    return request["kind"] == "open" or (request["kind"] == "form" and not _list_fields(request))


def _build_field(field: _Field) -> JsonObject:
    title = str(field.schema.get("title", field.name))
    kept = {key: field.schema[key] for key in _LIMITS if key in field.schema}
    built: JsonObject = {"type": field.type, "title": title, **kept}
    if field.schema.get("format") in _FORMATS:
        built["format"] = field.schema["format"]
    if field.type == "string" and _has_words(field.schema):
        built["enum"] = field.schema["enum"]
    if field.type is None:
        about = str(field.schema.get("description", ""))
        built = {"type": "string", "title": f"{title} (JSON)", "description": about}
    if field.is_prefilled:
        built["default"] = json.dumps(field.value) if field.type is None else field.value
    elif field.is_required:
        built["title"] += " (required)"
    return built


def read_answer(request: JsonObject, filled: Mapping[str, Any]) -> JsonObject:
    """Return the response as `POST /api/hitl/resume` takes it. Raise FormMisfit."""
    decision = filled.get("decision")
    if decision not in list_decisions(request):
        allowed = ", ".join(list_decisions(request))
        raise FormMisfit(f"The form's `decision` must be one of {allowed}.")
    said: JsonObject = {"freeformText": filled["text"]} if filled.get("text") else {}
    match decision:
        case "approve":
            _check_untouched(request, filled)
            return {"responseType": "approval", "approved": True, **said}
        case "edit":
            edited = {field.name: _read_edited(field, filled) for field in _list_fields(request)}
            return {
                "responseType": "approval", "approved": True, "editedArguments": edited, **said
            }  # fmt: skip
        case "reject":
            return {"responseType": "rejection", "approved": False, **said}
        case "respond":
            return {"responseType": "freeform", "freeformText": filled.get("text") or ""}
        case _:
            return {**_read_reply(request, filled), **said}


def _check_untouched(request: JsonObject, filled: Mapping[str, Any]) -> None:
    """Raise FormMisfit where a field was changed: then it is not what was shown."""
    for field in _list_fields(request):
        sent = filled.get(FIELD + field.name)
        if sent not in (None, "") and not _are_same(_read_value(field, sent), field.value):
            raise FormMisfit(
                f"`{field.name}` was changed: choose `edit` to approve with what was changed."
            )


def _are_same(one: Any, other: Any) -> bool:
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _read_edited(field: _Field, filled: Mapping[str, Any]) -> Any:
    sent = filled.get(FIELD + field.name)
    if sent is None and field.value != "":
        raise FormMisfit(f"`{field.name}` was not sent: for `edit` every field is needed.")
    return _read_value(field, sent or "" if field.value == "" else sent)


def _read_reply(request: JsonObject, filled: Mapping[str, Any]) -> JsonObject:
    option, text = filled.get("option"), filled.get("json")
    if option and text:
        raise FormMisfit("Choose an option or type JSON, not both.")
    if option:
        return {"responseType": "option", "selectedOptionId": option}
    if text:
        return {"responseType": "form", "data": _parse("json", text)}
    if request["kind"] != "form":
        return {"responseType": "freeform", "freeformText": ""}
    data = {
        field.name: _read_value(field, filled[FIELD + field.name])
        for field in _list_fields(request)
        if _is_filled_in(field, filled)
    }
    return {"responseType": "form", "data": data}


def _is_filled_in(field: _Field, filled: Mapping[str, Any]) -> bool:
    """Tell whether it is part of the answer: an empty text of an optional field is not."""
    sent = filled.get(FIELD + field.name)
    return sent is not None and (sent != "" or (field.is_required and field.type == "string"))


def _read_value(field: _Field, sent: Any) -> Any:
    """Return the value, with the type that the field has. Some clients send numbers as texts."""
    if field.type == "string":
        if isinstance(sent, str):
            return sent
        raise FormMisfit(f"`{field.name}` must be a text.")
    value = _parse(field.name, sent) if isinstance(sent, str) else sent
    if field.type is None:
        return value
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (isinstance(value, bool) if field.type == "boolean" else is_number):
        raise FormMisfit(f"`{field.name}` must be a {field.type}.")
    is_whole = isinstance(value, float) and value.is_integer()
    return int(value) if is_whole and not isinstance(field.value, float) else value


def _parse(name: str, text: str) -> Any:
    def refuse(constant: str) -> None:
        raise ValueError(constant)

    try:
        return json.loads(text, parse_constant=refuse)
    except ValueError as error:
        raise FormMisfit(f"`{name}` is no JSON.") from error
