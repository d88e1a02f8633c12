from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import pytest

from tests.api.calls import started


@pytest.fixture
async def api(database_url: str) -> AsyncGenerator[httpx.AsyncClient]:
    async with started(database_url) as client:
        yield client


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """What the agents note, line by line."""
    return tmp_path / "log"


@pytest.fixture
def away(log: Path) -> None:
    """The model of `payer.py` is away, until somebody deletes this file."""
    log.with_name("away").touch()
