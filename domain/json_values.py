"""What can be stored of what others hand us: in a row of Postgres, and in a checkpoint.

One rule for what agents propose and what people send: an answer may hold every number that its
question may.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, cast

from pydantic import BaseModel
from pydantic_core import to_json

# as json.dumps writes it, and not a backslash followed by u0000
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
# what msgpack, the format of a checkpoint, can hold
_SMALLEST, _LARGEST = -(2**63), 2**64 - 1
_LONG_NUMBER = re.compile("[0-9]{19}")
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


class Unstorable(Exception):
    """Says what is wrong as the rest of a sentence: “holds a NUL character, …”."""


def check_storable(value: object) -> int:
    """Return the size of the value as JSON, in bytes. Raise Unstorable."""
    try:
        text = _encode(value)
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise Unstorable("holds a lone surrogate, which is no character") from error
    except (TypeError, ValueError, RecursionError) as error:
        raise Unstorable(f"is not plain JSON: {error}") from error
    if _NUL.search(text):
        raise Unstorable("holds a NUL character, which cannot be stored")
    for number in _whole_numbers(value) if _LONG_NUMBER.search(text) else ():
        if not _SMALLEST <= number <= _LARGEST:
            raise Unstorable("holds a whole number of more than 64 bits, which cannot be stored")
    return size


def write_json(value: object) -> str:
    """Return JSON that Postgres can read, of records too, and of what holds some.

    What it cannot hold in a text is replaced: it is shown to people, and nobody decides by it.
    """
    try:
        text = to_json(value).decode()  # a quarter of the time of `json.dumps`
    except ValueError:  # a lone surrogate, or nested more deeply than it goes
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_write_record)
        text = text.encode(errors="replace").decode()
    if "\\u0000" in text:
        text = _NUL.sub(lambda found: found[0].removesuffix("\\u0000") + "\ufffd", text)
    return text


def _write_record(value: object) -> object:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(f"{type(value).__name__} is not JSON")


def _whole_numbers(value: object) -> Iterator[int]:
    """Level by level: what is nested deeply must not fill the stack."""
    level = [value]
    while level:
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below += cast(dict[Any, Any], item).values()
            elif isinstance(item, list | tuple):
                below += cast(list[Any], item)
            elif isinstance(item, int):
                yield item
        level = below
