"""The generated key: made once beside an embedded Postgres, in a file for its owner only."""

import os
import re
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

from hitl_orchestrator.domain.errors import ConfigurationError

SHORTEST_KEY = 20
_KEY = re.compile(rf"[\x21-\x7e]{{{SHORTEST_KEY},}}")


def generated_key(file: Path) -> str:
    """Return the key of the file, which is made first where there is none.

    Raise ConfigurationError, which names the file, if it cannot be made, or holds no key.
    """
    try:
        if not file.exists():
            _make(file)
        key = file.read_bytes().decode(errors="replace").strip()
    except OSError as error:
        raise ConfigurationError(
            f"The API's key cannot be kept in '{file}': {error.strerror or error}. "
            "Mend that, or set API_KEY."
        ) from error
    if not _KEY.fullmatch(key):
        raise ConfigurationError(
            f"'{file}' holds no key: {SHORTEST_KEY} printable characters or more are needed. "
            "Remove it, and the next start makes another; or set API_KEY."
        )
    return key


def _make(file: Path) -> None:
    """Give the file its name only when the whole key is on the disk.

    Of two starters at once, and of a disk that is full, no one ever sees half of a key.
    """
    descriptor, name = tempfile.mkstemp(prefix=f"{file.name}.", dir=file.parent)  # mode 0600
    try:
        with os.fdopen(descriptor, "w") as opened:
            opened.write(secrets.token_urlsafe(32))
            opened.flush()
            os.fsync(opened.fileno())
        with suppress(FileExistsError):  # another was faster: its key is the key
            os.link(name, file)
    finally:
        os.unlink(name)
