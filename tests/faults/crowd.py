"""Many runs at once, driven by clients that never give up, while something dies; and what must be true afterwards."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from tests.processes import API_KEY

AGENTS = ("counting.py:left", "counting.py:right", "counting.py:joined")
PATIENCE_SECONDS = 90.0
_RETRY_SECONDS = 0.05


@dataclass
class Crowd:
    """`url` may change owner: a server that dies is followed by another at the same address."""

    url: str
    runs: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])  # run -> request -> the answer it was given
    moments: Counter[str] = field(default_factory=Counter[str])  # what was acknowledged

    async def live(self, number: int) -> list[dict[str, Any]]:
        """Start that many runs, answer all they ask, and wait until all have ended."""
        async with httpx.AsyncClient(base_url=self.url, headers={"Authorization": f"Bearer {API_KEY}"}, timeout=10) as client:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return await asyncio.gather(*(self._one(client) for _ in range(number)))

    async def _one(self, client: httpx.AsyncClient) -> dict[str, Any]:
        run = await self._post(client, "/api/runs", {"objective": "Count", "outputs": ["joined"]})
        answers = self.runs.setdefault(run["runId"], {})
        self.moments["started"] += 1
        while run["status"] not in ("completed", "failed", "cancelled"):
            for request in run["requests"]:
                if request["status"] == "pending" and request["requestId"] not in answers:
                    await self._answer(client, run["runId"], request["requestId"], answers)
            run = await self._get(client, f"/api/runs/{run['runId']}?wait=2")
        self.moments["ended"] += 1
        return run

    async def _answer(self, client: httpx.AsyncClient, run_id: str, request_id: str, answers: dict[str, str]) -> None:
        await asyncio.sleep(random.random() * 0.2)  # noqa: S311
        answers[request_id] = f"a{uuid4().hex[:6]}"
        response = {"requestId": request_id, "freeformText": answers[request_id], "responderId": "tester"}
        await self._post(client, "/api/hitl/resume", {"runId": run_id, "requestId": request_id, "responses": [response]})
        self.moments["answered"] += 1

    async def _post(self, client: httpx.AsyncClient, path: str, body: dict[str, Any]) -> dict[str, Any]:
        key = {"Idempotency-Key": uuid4().hex}
        return await _patiently(lambda: client.post(path, json=body, headers=key))

    async def _get(self, client: httpx.AsyncClient, path: str) -> dict[str, Any]:
        return await _patiently(lambda: client.get(path))

    def check(self, runs: list[dict[str, Any]], log: Path) -> None:
        """Every run ended rightly, every answer was applied once and to its question, finished work was not done again."""
        for run in runs:
            assert run["status"] == "completed", (run["error"], run["plan"])
            given = self.runs[run["runId"]]
            assert {r["requestId"]: r["responses"][0]["freeformText"] for r in run["requests"]} == given
            by_agent = {r["originAgent"].removeprefix("count."): given[r["requestId"]] for r in run["requests"]}
            assert run["result"]["outputs"]["joined"] == f"{by_agent['left']} {by_agent['right']} {by_agent['joined']}"
            done = Counter((entry["action"], entry["requestId"]) for entry in run["metadata"]["auditLog"])
            for request_id in given:
                assert done["request", request_id] == done["resume", request_id] == done["deliver", request_id] == 1
        applied = {tuple(line.split(" ", 2)) for line in log.read_text().splitlines() if " applied " in line}
        assert len(applied) == sum(len(given) for given in self.runs.values()), "an answer was lost, or went to two questions"


async def _patiently(call: Callable[[], Awaitable[httpx.Response]]) -> dict[str, Any]:
    while True:
        try:
            response = await call()
        except httpx.TransportError:
            await asyncio.sleep(_RETRY_SECONDS)
            continue
        if response.status_code != 503:
            assert response.is_success, response.text
            found = response.json()
            return found.get("run", found)
        await asyncio.sleep(_RETRY_SECONDS)
