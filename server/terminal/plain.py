"""A terminal that says by its locale that it knows ASCII alone."""

import codecs
import os
from collections.abc import Mapping
from io import TextIOWrapper
from types import MappingProxyType
from typing import Any

_ASCII_LOCALES = {"C", "POSIX"}
_SPOKEN: Mapping[str, str] = MappingProxyType(
    {
        "…": "~", "—": "-", "–": "-", "─": "-", "·": "-", "•": "*", "▌": "|",
        "“": '"', "”": '"', "‘": "'", "’": "'",
        "○": "o", "●": "*", "✔": "+", "✘": "x",
    }
)  # fmt: skip


def speak_plainly(stream: "TextIOWrapper[Any]") -> None:
    """Write ASCII to a terminal whose locale is set to C; what it lacks becomes `?`.

    Python itself would write UTF-8 there. Where no locale is set at all, as in containers, and
    where no terminal is, that is right.
    """
    wanted = os.environ.get("LC_ALL") or os.environ.get("LC_CTYPE")
    if wanted in _ASCII_LOCALES and stream.isatty():
        codecs.register_error("hitl.plain", _replace)
        stream.reconfigure(encoding="ascii", errors="hitl.plain")
    else:
        stream.reconfigure(errors="replace")  # a terminal that cannot show a glyph


def _replace(error: UnicodeError) -> tuple[str, int]:
    """Return in ASCII, character by character, what could not be encoded."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lost = error.object[error.start : error.end]
    return "".join(_SPOKEN.get(each, "?") for each in lost), error.end
