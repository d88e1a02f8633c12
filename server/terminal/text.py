"""Text and JSON that others wrote, made fit for a terminal."""

import json
from typing import cast

from hitl_orchestrator.server.steering import drop_steering
from hitl_orchestrator.server.terminal.wire import Json, JsonObject


def clean(text: str) -> str:
    """Return the text without what could steer a terminal."""
    return drop_steering(text)


def join_lines(text: str) -> str:
    """Return the text on one line, cleaned, with single blanks."""
    return " ".join(clean(text).split())


def outline(value: Json, indent: str = "") -> list[str]:
    """Return JSON for reading: one line a value, an indented block for a text of several lines."""
    if isinstance(value, dict) and value:
        return _outline_object(cast(JsonObject, value), indent)
    if isinstance(value, list) and value:
        return _outline_list(cast(list[Json], value), indent)
    if isinstance(value, str) and value:
        return [f"{indent}{line}" for line in value.split("\n")]
    return [indent + json.dumps(value)]


def _outline_object(value: JsonObject, indent: str) -> list[str]:
    lines: list[str] = []
    for name, item in value.items():
        title = f"{indent}{join_lines(name)}:"
        inner = outline(item, f"{indent}  ")
        if len(inner) > 1 or _has_parts(item):
            lines += [title, *inner]
        else:
            lines.append(f"{title} {inner[0].strip()}")
    return lines


def _has_parts(value: Json) -> bool:
    return isinstance(value, dict | list) and value not in ({}, [])


def _outline_list(value: list[Json], indent: str) -> list[str]:
    lines: list[str] = []
    for item in value:
        first, *more = outline(item, f"{indent}  ")
        lines += [f"{indent}- {first[len(indent) + 2 :]}", *more]
    return lines


def describe_age(seconds: float) -> str:
    """Return how long that is, in the largest whole unit: `3 d`, `1 h`, `20 min`, `5 s`."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return f"{max(0, int(seconds))} s"
