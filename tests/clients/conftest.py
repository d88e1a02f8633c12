"""One server for all clients of a module, and what they find there."""

from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest

from tests.processes import Running, serving
from tests.temporary import temporary_database

AGENTS = ("asks.py:agent", "asks.py:asking", "parallel.py:agent")


class Hitl:
    """The API, as other clients than the one under test use it."""

    def __init__(self, server: Running, database_url: str) -> None:
        self.server, self.database_url = server, database_url
        self.api = server.client()

    def start(self, question: dict[str, Any], **body: Any) -> dict[str, Any]:
        """Return a run that has asked it, or ended."""
        asking = {"objective": "Ask", "inputs": {"question": question}, "outputs": ["answer"]}
        return self.begin(**{**asking, **body})

    def begin(self, **body: Any) -> dict[str, Any]:
        done = self.api.post("/api/runs?wait=20", json=body)
        assert done.status_code == 202, done.text
        return done.json()

    def run(self, run_id: str) -> dict[str, Any]:
        """Return it once it is at rest."""
        return self.api.get(f"/api/runs/{run_id}?wait=20").json()

    def request(self, request_id: str) -> dict[str, Any]:
        return self.api.get(f"/api/hitl/requests/{request_id}").json()

    def answer(self, run: dict[str, Any], request_id: str, **response: Any) -> httpx.Response:
        body = {"requestId": request_id, **response}
        call = {"runId": run["runId"], "requestId": request_id, "responses": [body]}
        return self.api.post("/api/hitl/resume?wait=20", json=call)


@pytest.fixture(scope="module")
async def hitl(postgres: str) -> AsyncGenerator[Hitl]:
    async with temporary_database(postgres) as url:
        with serving(url, *AGENTS, HITL_CORS_ORIGINS="http://inbox.example.com") as server:
            found = Hitl(server, url)
            with found.api:
                yield found
