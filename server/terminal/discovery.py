"""Where a server is, and its key: by HITL_URL and API_KEY, or beside an embedded server."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from hitl_orchestrator.server.environment import (
    UnreadableEnvironment,
    explain_failed_read,
    read_environment,
)
from hitl_orchestrator.server.terminal.errors import BadInput, NoServer
from hitl_orchestrator.server.terminal.transport import httpx

# The same as in checkpoints/embedded, which would bring psycopg; a test compares them.
DATA_DIR = Path(".data")
DATA_DIR_OF_ROOT = Path("/var/lib/hitl-orchestrator")
LOCAL_HOSTS = {"127.0.0.1", "::1", "localhost"}


class Server(NamedTuple):
    url: str
    key: str


def read_variables() -> dict[str, str]:
    """Return the environment over `.env` in the working directory. Raises BadInput."""
    try:
        return read_environment()
    except UnreadableEnvironment as error:
        raise BadInput(error.detail) from error


def find_server(variables: Mapping[str, str]) -> Server:
    """Return address and key; what is set comes first, then what an embedded server left.

    Raises NoServer, or BadInput for a variable that cannot be used.
    """
    folder = _find_data_folder(variables)
    url = _find_url(variables, folder)
    _check_url(url)
    # The key of this machine's server is not sent to another machine.
    is_beside_us = is_local(url) or "HITL_URL" not in variables
    key = variables.get("API_KEY")
    if not key and folder and is_beside_us:
        key = _read_key(folder / "api_key")
    if not key:
        raise NoServer(f"The key of the server at {url} is not known: set API_KEY.")
    if not (key.isascii() and key.isprintable()):
        raise BadInput("API_KEY has characters that a key cannot have: use printable ASCII.")
    return Server(url, key)


def is_local(url: str) -> bool:
    """Return whether the address is this machine's own."""
    return httpx.URL(url).host in LOCAL_HOSTS


def _find_data_folder(variables: Mapping[str, str]) -> Path | None:
    """Return the folder of an embedded server that runs now and may be read."""
    for folder in _list_data_folders(variables):
        if os.access(folder / "server.json", os.R_OK):
            return folder
    return None


def _list_data_folders(variables: Mapping[str, str]) -> list[Path]:
    if configured := variables.get("HITL_DATA_DIR"):
        return [Path(configured)]
    if os.geteuid() == 0:
        return [DATA_DIR, DATA_DIR_OF_ROOT]
    return [DATA_DIR]


def _find_url(variables: Mapping[str, str], folder: Path | None) -> str:
    url = variables.get("HITL_URL")
    if not url and folder:
        url = _read_url(folder / "server.json")
    if not url:
        raise NoServer(
            "No server is running here: start one with `hitl serve` (or scripts/run), "
            "or set HITL_URL and API_KEY."
        )
    return url


def _read_url(file: Path) -> str:
    try:
        return str(json.loads(file.read_bytes())["url"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise NoServer(
            f"{file} does not say where the server is: restart it, or set HITL_URL and API_KEY."
        ) from error


def _read_key(file: Path) -> str | None:
    try:
        return file.read_text().strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise NoServer(
            f"The server's key in {file} cannot be read ({explain_failed_read(error)}): "
            "set API_KEY."
        ) from error


def _check_url(url: str) -> None:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise BadInput(f"HITL_URL is {url!r}: {error}") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise BadInput(f"HITL_URL is {url!r}; it must look like http://127.0.0.1:8080.")
