"""Characters that steer a terminal, or turn round what a person reads; others wrote them.

It imports nothing heavy: client commands use it.
"""

import re

# Control characters except tab and newline (C1 among them: U+009B begins an escape sequence), ends
# of a line that no editor shows, what reverses the direction of what follows, lone surrogates.
_STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def drop_steering(text: str) -> str:
    return _STEERING.sub("", text)


def escape_steering(json_text: str) -> str:
    """Return the same JSON with those characters, which stand only in its strings, as `\\uXXXX`."""
    return _STEERING.sub(_escape, json_text)


def _escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"
