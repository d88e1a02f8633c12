"""Where a server is, and its key: by HITL_URL and API_KEY, or beside an embedded server.

A folder can be somebody else's: cloned, or unpacked. So a key of the environment goes only to an
address of the environment, never to one that `.env` or a data folder of the working directory
names, and an address that is found in a data folder is this machine's own or none.
"""

import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from hitl_orchestrator.server.announcement import list_announcements, read_url
from hitl_orchestrator.server.environment import (
    UnreadableEnvironment,
    explain_failed_read,
    read_dotenv,
    read_process_environment,
)
from hitl_orchestrator.server.terminal.errors import BadInput, NoServer
from hitl_orchestrator.server.terminal.transport import httpx

# The same as in checkpoints/embedded, which would bring psycopg; a test compares them.
DATA_DIR = Path(".data")
DATA_DIR_OF_ROOT = Path("/var/lib/hitl-orchestrator")

Variables = Mapping[str, str]


class Server(NamedTuple):
    url: str
    key: str


def read_sources() -> tuple[Variables, Variables]:
    """Return the environment, and what `.env` sets in the working directory. Raises BadInput."""
    try:
        return read_process_environment(), read_dotenv()
    except UnreadableEnvironment as error:
        raise BadInput(error.detail) from error


def find_server(environment: Variables, dotenv: Variables | None = None) -> Server:
    """Return address and key; what is set comes first, then what an embedded server left.

    Raises NoServer, or BadInput for a variable that cannot be used.
    """
    variables = {**(dotenv or {}), **environment}
    announced = None if "HITL_URL" in variables else _find_announced(variables)
    url = variables.get("HITL_URL") or announced
    if not url:
        raise NoServer(
            "No server is running here: start one with `hitl serve` (or scripts/run), "
            "or set HITL_URL and API_KEY."
        )
    _check_url(url)
    key = _find_key(url, environment, variables)
    if not key:
        raise NoServer(_explain_no_key(url, environment))
    if not (key.isascii() and key.isprintable()):
        raise BadInput("API_KEY has characters that a key cannot have: use printable ASCII.")
    return Server(url, key)


def is_local(url: str) -> bool:
    """Return whether the address is this machine's own."""
    host = httpx.URL(url).host
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _find_key(url: str, environment: Variables, variables: Variables) -> str | None:
    if "API_KEY" in environment:
        if "HITL_URL" in environment:
            return environment["API_KEY"]
    elif "API_KEY" in variables:
        return variables["API_KEY"]
    # The key of this machine's server is not sent to another machine.
    return _read_key_file(variables) if is_local(url) else None


def _explain_no_key(url: str, environment: Variables) -> str:
    if "API_KEY" in environment and "HITL_URL" not in environment:
        return (
            f"API_KEY of the environment is not sent to {url}, which a file here names: "
            "set HITL_URL in the environment too, if that is your server."
        )
    return f"The key of the server at {url} is not known: set API_KEY."


def _find_announced(variables: Variables) -> str | None:
    """Return the address of an embedded server that runs now and may be read."""
    for folder in _list_data_folders(variables):
        for file in list_announcements(folder):
            return _read_announced(file)
    return None


def _list_data_folders(variables: Variables) -> list[Path]:
    if configured := variables.get("HITL_DATA_DIR"):
        return [Path(configured)]
    if os.geteuid() == 0:
        return [DATA_DIR, DATA_DIR_OF_ROOT]
    return [DATA_DIR]


def _read_announced(file: Path) -> str:
    try:
        url = read_url(file)
    except (OSError, ValueError) as error:
        raise NoServer(
            f"{file} does not say where the server is: restart it, or set HITL_URL and API_KEY."
        ) from error
    _check_url(url)
    if not is_local(url):
        raise NoServer(
            f"{file} names {url}, which is not this machine's own: set HITL_URL and API_KEY."
        )
    return url


def _read_key_file(variables: Variables) -> str | None:
    for folder in _list_data_folders(variables):
        if list_announcements(folder):
            return _read_key(folder / "api_key")
    return None


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
