"""What agents hand over, as JSON."""

import json
import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any, cast
from uuid import UUID

MAX_TEXT, MAX_JSON_BYTES = 2_000, 4_096  # of what an agent says while it works
_WRITTEN = (UUID, PurePath, Decimal)  # as their texts


class NotPlain(Exception):
    """Something that is no JSON; the message names it."""


def make_plain(what: str, value: object) -> Any:
    """Return it as JSON. Raise NotPlain, which begins with `what`."""
    try:
        return _write(value)
    except NotPlain as error:
        raise NotPlain(f"{what} holds {error}, which is no JSON") from None
    except RecursionError:
        raise NotPlain(f"{what} holds itself, or too much in one another") from None


def cut_line(value: object) -> Any:
    """Return what was said, short enough to be told. Raise NotPlain."""
    plain = make_plain("A line", value[:MAX_TEXT] if isinstance(value, str) else value)
    if isinstance(plain, str):
        return plain
    text = json.dumps(plain, ensure_ascii=False)
    return plain if len(text.encode()) <= MAX_JSON_BYTES else text[:MAX_TEXT]


def shorten(text: str) -> str:
    """Return it short enough for a reason."""
    return text[:MAX_TEXT].replace("\0", "").encode(errors="replace").decode()


def _write(value: object) -> Any:
    if isinstance(value, Enum):
        return _write(value.value)
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        raise NotPlain(str(value))
    if isinstance(value, Mapping):
        return {_write_key(key): _write(one) for key, one in _list_items(cast(object, value))}
    if isinstance(value, (list, tuple, AbstractSet)):
        return [_write(one) for one in cast("list[object]", value)]
    return _write_object(value)


def _write_object(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)  # of a Pydantic object
    if callable(dump) and not isinstance(value, type):
        return _write(dump(mode="json"))
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, _WRITTEN):
        return str(value)
    if is_dataclass(value) and not isinstance(value, type):
        names = [one.name for one in fields(cast(Any, value))]
        return {name: _write(getattr(value, name)) for name in names}
    raise NotPlain(f"a value of type {type(cast(object, value)).__name__}")


def _list_items(value: object) -> list[tuple[object, object]]:
    return [*cast("Mapping[object, object]", value).items()]


def _write_key(key: object) -> str:
    plain = _write(key)
    if isinstance(plain, (dict, list)):
        raise NotPlain(f"a key of type {type(key).__name__}")
    return plain if isinstance(plain, str) else json.dumps(plain)
