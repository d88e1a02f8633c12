"""A request's body, read strictly.

What cannot be stored, or could be read in two ways, is refused here, once.
"""

import json
import re
from email.message import Message

from hitl_orchestrator.domain.errors import Invalid
from hitl_orchestrator.domain.json_values import Unstorable, check_storable
from hitl_orchestrator.domain.records import Json, JsonObject

MAX_DEPTH = 32
# What the body of nearly every call has none of: an escape by number, a number of more than 64
# bits or beyond all floats. Where it may have one it is looked at value by value.
_SUSPECT = re.compile(rb"\\u|[0-9]{19}|(?:^|[:,\[\s])-?[0-9][0-9.]*[eE]")


def parse_body(content_type: str | None, raw: bytes) -> Json:
    """Read a body strictly. Raise Invalid."""
    if not raw:
        raise Invalid("The body is empty; it is to be a JSON object.")
    if not _is_json(content_type):
        raise Invalid("The body is not said to be JSON: send `Content-Type: application/json`.")
    try:
        value = json.loads(raw.decode(), object_pairs_hook=_object, parse_constant=_no_number)
    except UnicodeDecodeError as error:
        raise Invalid(f"The body is not UTF-8 (byte {error.start}).") from error
    except RecursionError as error:
        raise Invalid(_TOO_DEEP) from error
    except ValueError as error:
        raise Invalid(f"The body is not JSON: {error}.") from error
    if raw.count(b"{") + raw.count(b"[") > MAX_DEPTH:
        _check_depth(value)
    if _SUSPECT.search(raw):
        _check_storable(value)
    return value


_TOO_DEEP = f"The body is nested more than {MAX_DEPTH} deep."


def _is_json(content_type: str | None) -> bool:
    if content_type == "application/json":  # as nearly all say it
        return True
    message = Message()
    message["Content-Type"] = content_type or ""
    return message.get_content_type() == "application/json"


def _object(pairs: list[tuple[str, Json]]) -> JsonObject:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object has the same key twice")
    return found


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _check_storable(value: Json) -> None:
    try:
        check_storable(value)
    except Unstorable as error:
        raise Invalid(f"The body {error}.") from error


def _check_depth(value: Json) -> None:
    """Raise Invalid for what is nested too deep."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        below = list[Json]()
        for item in level:
            if isinstance(item, dict):
                below += item.values()
            elif isinstance(item, list):
                below += item
        level = below
    if level:
        raise Invalid(_TOO_DEEP)
