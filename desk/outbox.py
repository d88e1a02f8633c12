"""The outbox: a folder for each publication, complete or not there at all, whatever crashes."""

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


class AlreadyPublished(Exception):
    """The folder is there with other content."""


def write_durably(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def put(
    folder: Path, files: Mapping[str, bytes], write: Callable[[Path, bytes], None] = write_durably
) -> None:
    """Put the files into that folder, exactly once.

    They are written beside it, and the whole folder is renamed into its place.
    A second pass with the same content changes nothing; one with other content raises
    AlreadyPublished. What a crash left half-written has a name that begins with a dot, and the pass
    that succeeds removes it.
    """
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        half = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent)) / folder.name
        half.mkdir()  # with the usual rights; mkdtemp's own folder has stricter ones
        for name, content in files.items():
            write(half / name, content)
        _sync(half)
        try:
            half.rename(folder)
        except OSError:  # a second pass was faster
            if not folder.exists():
                raise
        _sync(folder.parent)
        _sync(folder.parent.parent)
    for half in folder.parent.glob(f".{folder.name}.*"):
        shutil.rmtree(half, ignore_errors=True)
    if {path.name: path.read_bytes() for path in folder.iterdir()} != dict(files):
        raise AlreadyPublished(
            f"{folder.parent.name}/{folder.name} has been published with other content"
        )


def path_part(name: str) -> str:
    """A name from outside as one part of a path: itself if it is plain, else its hash."""
    return name if _PLAIN_NAME.fullmatch(name) else f"~{hashlib.sha256(name.encode()).hexdigest()}"


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
