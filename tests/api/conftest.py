from collections.abc import AsyncGenerator

import httpx
import pytest

from tests.api.calls import started


@pytest.fixture
async def api(database_url: str) -> AsyncGenerator[httpx.AsyncClient]:
    async with started(database_url) as client:
        yield client
