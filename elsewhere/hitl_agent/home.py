"""The folder where an agent keeps its checkpoints. One process at a time works there."""

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from uuid import uuid4

CHECKPOINTS, STORE = "checkpoints.sqlite", "store.sqlite"  # its files


class HomeTaken(Exception):
    """Another process works at this home."""


@contextmanager
def open_home(folder: Path) -> Generator[str, None, None]:
    """Yield the id of the home, which is made once. Raise HomeTaken, or OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    ignored = folder / ".gitignore"
    if not ignored.exists():
        ignored.write_text("*\n", "utf-8")
    with (folder / "lock").open("a") as file:
        _lock(file, folder)
        yield _read_id(folder / "home")


def _lock(file: IO[str], folder: Path) -> None:
    """Hold it until the file is closed, or the process dies."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise HomeTaken(
            f"another process works at the home {folder}: stop it, or give this one a --home"
        ) from error


def _read_id(file: Path) -> str:
    if not file.exists():
        made = file.with_name("home.new")
        with made.open("w") as written:
            written.write(uuid4().hex)
            written.flush()
            os.fsync(written.fileno())
        made.replace(file)
    return file.read_text("utf-8").strip()
