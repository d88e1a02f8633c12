"""Where a server with an embedded database is: a file a server in its data folder.

The file is locked for as long as its server lives, so that one left by a `kill -9` tells nobody a
wrong address, and no server touches another's. It imports nothing heavy: client commands read it.
"""

import json
import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

_NAME = "server-{}.json"
_PATTERN = "server-*.json"


@contextmanager
def announce(folder: Path, url: str) -> Generator[None]:
    """Leave the address in the folder until the block ends."""
    import fcntl  # where there is none, there is no embedded database either

    for left in list_announcements(folder):
        if not _is_held(left):
            left.unlink(missing_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=".server-", dir=folder)
    with os.fdopen(descriptor, "w") as opened:
        fcntl.flock(opened, fcntl.LOCK_EX)
        json.dump({"url": url}, opened)
        opened.flush()
        file = folder / _NAME.format(Path(name).name.removeprefix(".server-"))
        Path(name).rename(file)
        try:
            yield
        finally:
            file.unlink(missing_ok=True)


def list_announcements(folder: Path) -> list[Path]:
    """Return the files that can be read: of servers that live, then others; the newest first."""
    found: list[tuple[bool, float, Path]] = []
    with suppress(OSError):  # no such folder, or none of ours
        for file in folder.glob(_PATTERN):
            if os.access(file, os.R_OK):
                found.append((_is_held(file), file.stat().st_mtime, file))
    return [file for _, _, file in sorted(found, reverse=True)]


def read_url(file: Path) -> str:
    """Return the address. Raise OSError, or ValueError: the file does not say it."""
    said: Any = json.loads(file.read_bytes())
    try:
        return str(said["url"])
    except (TypeError, KeyError) as error:
        raise ValueError(f"{file} names no url") from error


def _is_held(file: Path) -> bool:
    """Return whether the server that wrote it lives. Raise OSError if it cannot be read."""
    try:
        import fcntl
    except ModuleNotFoundError:
        return True
    with file.open("rb") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
