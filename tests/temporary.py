"""A Postgres of one's own, to be killed or filled."""

import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from hitl_orchestrator.checkpoints.embedded.postgres import EmbeddedPostgres


@contextmanager
def temporary_folder() -> Generator[Path]:
    """Not pytest's: those are private to root, and Postgres does not run as root."""
    folder = Path(tempfile.mkdtemp(prefix="hitl-temporary-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def temporary_postgres() -> Generator[EmbeddedPostgres]:
    """Started; its address is what `start` returns."""
    with temporary_folder() as folder:
        postgres = EmbeddedPostgres(folder)
        with postgres:
            yield postgres
