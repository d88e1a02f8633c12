"""What the tests of faults share."""

from pathlib import Path

import pytest


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """What the agents note, line by line, whichever process they work in."""
    return tmp_path / "work.log"
