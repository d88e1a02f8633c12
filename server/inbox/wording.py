"""What does not fit a schema, in words for a person."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from hitl_orchestrator.domain.records import Json
from hitl_orchestrator.server.inbox.fields import NEEDED, find_part
from hitl_orchestrator.server.inbox.schema_parts import ROOT, find_type, point, resolve

Mismatch = Mapping[str, str]
OF_TYPE = {
    "integer": "A whole number is wanted.",
    "number": "A number is wanted.",
    "boolean": "Yes or no is wanted.",
    "string": "A text is wanted.",
    "array": "A list is wanted.",
    "object": "An object is wanted.",
}
OF_FORMAT = {"date": "A date as 2026-01-31.", "email": "An address as ada@example.com."}
NAMING_A_LIMIT = {
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minItems",
    "maxItems",
    "pattern",
}
_PROPERTY = re.compile(r'^("(?:[^"\\]|\\.)*")')


def word_mismatches(mismatches: Iterable[Mismatch], schema: Json) -> dict[str, str]:
    """Return a sentence for each, by the names of the inputs; of one input the first."""
    root = schema if isinstance(schema, dict) else {}
    worded: dict[str, str] = {}
    for one in mismatches:
        at, words = one["path"], _word(one, root)
        if one["rule"] == "required" and (named := _PROPERTY.match(one["message"])):
            at, words = point(at, json.loads(named[1])), NEEDED
        worded.setdefault(at or ROOT, words)
    return worded


def _word(mismatch: Mismatch, root: Mapping[str, Any]) -> str:
    schema = resolve(find_part(root, mismatch["path"]), root)
    rule = mismatch["rule"]
    limit = schema.get(rule)
    if limit is None and rule in NAMING_A_LIMIT:  # it stands in one of several schemas
        return "Not in the form that is asked for."
    match rule:
        case "type":
            return OF_TYPE.get(find_type(schema), "Another kind of value is wanted.")
        case "enum" | "const":
            return "Choose one of the options."
        case "oneOf" | "anyOf":
            return "It fits none of the forms that are asked for."
        case "minLength":
            return f"At least {limit} characters."
        case "maxLength":
            return f"At most {limit} characters."
        case "minimum":
            return f"At least {limit}."
        case "maximum":
            return f"At most {limit}."
        case "exclusiveMinimum":
            return f"More than {limit}."
        case "exclusiveMaximum":
            return f"Less than {limit}."
        case "multipleOf":
            return f"A multiple of {limit}."
        case "minItems":
            return f"At least {limit} of them."
        case "maxItems":
            return f"At most {limit} of them."
        case "uniqueItems":
            return "Two of them are the same."
        case "format":
            return OF_FORMAT.get(
                str(schema.get("format")), f"Not of the form {schema.get('format')}."
            )
        case "pattern":
            return f"Not in the form that is asked for: {limit}"
        case "additionalProperties":
            return "Something is in it that is not asked for."
        case _:
            return f"It does not fit: {mismatch['message']}."
