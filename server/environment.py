"""The variables that settings are read from, for the server and for the client commands.

It imports nothing heavy and nothing of ours: client commands start fast, and a server gets no HTTP
client by reading its settings.
"""

import os
from collections.abc import Mapping
from pathlib import Path

DOTENV = Path(".env")


class UnreadableEnvironment(Exception):
    """`.env` exists but cannot be read; `detail` says why in one line."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


def read_environment() -> dict[str, str]:
    """Return the environment over `.env` in the working directory; empty counts as unset.

    Raises UnreadableEnvironment.
    """
    return read_dotenv() | read_process_environment()


def read_process_environment() -> dict[str, str]:
    """Return the environment alone; empty counts as unset."""
    return _drop_empty(os.environ)


def read_dotenv() -> dict[str, str]:
    """Return what only `.env` in the working directory sets; empty in the environment is set.

    Raises UnreadableEnvironment.
    """
    found = _read_dotenv()
    return _drop_empty({name: found[name] for name in found.keys() - os.environ.keys()})


def _drop_empty(variables: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value.strip() for name, value in variables.items() if value and value.strip()}


def _read_dotenv() -> dict[str, str | None]:
    if not DOTENV.is_file():
        return {}
    from dotenv import dotenv_values  # slow, and few working directories need it

    try:
        return dotenv_values(DOTENV)
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableEnvironment(
            f"{DOTENV} cannot be read: {explain_failed_read(error)}"
        ) from error


def explain_failed_read(error: OSError | ValueError) -> str:
    """Return why a file could not be read as text, to follow a colon."""
    if isinstance(error, UnicodeDecodeError):
        return f"it is not UTF-8 (byte {error.start})"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error)
