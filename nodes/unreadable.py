"""What of an agent's typed state did not come back as what it was.

LangGraph reads an object whose class it does not find as the bare fields it had, and one whose
class has got a required field as an object without it. Either fails in the middle of a node.
"""

from collections.abc import Iterable, Mapping
from dataclasses import is_dataclass
from types import UnionType
from typing import Annotated, Any, NotRequired, Required, Union, cast, get_args, get_origin

from pydantic import BaseModel

from hitl_orchestrator.nodes.fingerprint import name_type

_WRAPPED = (Annotated, Required, NotRequired)


def find_unreadable(kind: object, value: object) -> str | None:
    """Return the name of the class that the value, or a part of it, should be of and is not."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in _WRAPPED:
        return find_unreadable(inner[0], value)
    if origin in (Union, UnionType):
        return _find_in_alternatives(inner, value)
    if origin is not None and inner:
        return _find_in_parts(inner, value)
    if isinstance(kind, type):
        given = cast("type[Any]", kind)
        if issubclass(given, BaseModel) or is_dataclass(given):
            return _find_in_object(given, value)
    return None


def _find_in_alternatives(inner: tuple[Any, ...], value: object) -> str | None:
    """Return what is wrong by the first class among them, if none of them fits."""
    wrong: str | None = None
    for kind in inner:
        if kind is type(None) and value is not None:
            continue
        found = find_unreadable(kind, value)
        if found is None:
            return None
        wrong = wrong or found
    return wrong


def _find_in_parts(inner: tuple[Any, ...], value: object) -> str | None:
    kind = inner[-1]  # of a mapping's values, or of what is in a list
    if isinstance(value, Mapping):
        parts: Iterable[object] = cast(Mapping[object, object], value).values()
    elif isinstance(value, list | tuple | set | frozenset):
        parts = cast(Iterable[object], value)
    else:
        return None
    for part in parts:
        if found := find_unreadable(kind, part):
            return found
    return None


def _find_in_object(kind: type, value: object) -> str | None:
    if not isinstance(value, kind):
        return f"{name_type(kind)} came back as {type(value).__name__}"
    if not isinstance(value, BaseModel):
        return None
    for name, field in type(value).model_fields.items():
        if field.is_required() and name not in value.__dict__:
            return f"{name_type(kind)} has no `{name}`"
    return None
