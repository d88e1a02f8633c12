"""One server for the tests of a file, and keys for those who call it."""

from collections.abc import AsyncGenerator, Mapping
from typing import NamedTuple

import httpx
import pytest

from tests.api.test_keys import SCOPES, add_key
from tests.clients.queue import Queue
from tests.processes import Running, serving
from tests.temporary import temporary_database

ORIGIN = "http://inbox.example.com"


class Served(NamedTuple):
    """`keys`: one for each scope, named after it; and `ada`, who may ask and decide."""

    server: Running
    api: httpx.AsyncClient
    keys: Mapping[str, str]


@pytest.fixture(scope="module")
async def served(postgres: str) -> AsyncGenerator[Served]:
    async with temporary_database(postgres) as url:
        with serving(url, "asks.py:agent", "parallel.py:agent", HITL_MAX_REQUESTS="9") as server:
            keys = {scope: await add_key(url, scope, scope) for scope in SCOPES}
            keys["ada"] = await add_key(url, "ada", "ask", "decide")
            headers = {"Authorization": f"Bearer {server.api_key}"}
            async with httpx.AsyncClient(base_url=server.url, headers=headers) as api:
                yield Served(server, api, keys)


@pytest.fixture(scope="module")
async def queue(postgres: str) -> AsyncGenerator[Queue]:
    """Of a server that the pages of one other origin may call."""
    async with temporary_database(postgres) as url:
        with serving(url, "asks.py:agent", "parallel.py:agent", HITL_CORS_ORIGINS=ORIGIN) as server:
            found = Queue(server, url)
            with found.api:
                yield found
