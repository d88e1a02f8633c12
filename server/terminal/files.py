"""Text and JSON in files that are named on the command line; `-` is standard input."""

import json
import os
import sys
from pathlib import Path
from typing import cast

from hitl_orchestrator.server.environment import explain_failed_read
from hitl_orchestrator.server.terminal.errors import BadInput
from hitl_orchestrator.server.terminal.wire import Json, JsonObject


def read_text(file: str) -> str:
    """Return what is in the file, which must be UTF-8. Raises BadInput."""
    try:
        return _read_bytes(file).decode("utf-8-sig")
    except (OSError, ValueError) as error:
        raise BadInput(f"{_name(file)} cannot be read: {explain_failed_read(error)}") from error


def read_json(file: str) -> Json:
    """Return the JSON that is in the file. Raises BadInput."""
    text = read_text(file)
    try:
        return parse_json(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{_name(file)} is not JSON: {error}") from error


def read_json_object(file: str) -> JsonObject:
    """Return the JSON object that is in the file. Raises BadInput."""
    value = read_json(file)
    if not isinstance(value, dict):
        raise BadInput(f"{_name(file)} must hold a JSON object.")
    return cast(JsonObject, value)


def read_value(text: str) -> Json:
    """Return the JSON that is on the command line. Raises BadInput."""
    try:
        return parse_json(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"--value {text!r} is not JSON: {error}") from error


def parse_json(text: str) -> Json:
    """Return what the text says. Raises ValueError, also for NaN and Infinity, which JSON lacks."""
    return json.loads(text, parse_constant=_refuse_constant)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON value")


def _read_bytes(file: str) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read()
    return Path(os.path.expanduser(file)).read_bytes()


def _name(file: str) -> str:
    return "standard input" if file == "-" else file
