"""Our own API, as other protocols call it: over HTTP, or within the server's process."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx

REPLAYED = "Idempotency-Replayed"
CALL_SECONDS = 75.0  # a call waits 60 s at most


class CallRefused(Exception):
    """The API said no, or nobody answered. `detail` is for a person."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class ApiClient:
    """The API with somebody's key. `url`: where its pages are. Every method raises CallRefused."""

    def __init__(self, http: httpx.AsyncClient, url: str, headers: Mapping[str, str]) -> None:
        self._http = http
        self.url = url
        self._headers = headers

    async def get(self, path: str, **params: str | float | None) -> Any:
        given = {name: value for name, value in params.items() if value is not None}
        return _read_answer(await self._send("GET", path, params=given))

    async def post(self, path: str, body: object, once: str, **params: float) -> Any:
        """Do it once: a call that is made again gets the first one's answer.

        Unless that was a refusal, which may be over: then nothing was done, and it is tried anew.
        """
        response = await self._post(path, body, once, params)
        if response.is_error and REPLAYED in response.headers:
            response = await self._post(path, body, f"{once}-{uuid4()}", params)
        return _read_answer(response)

    async def show_request(self, request_id: str, wait: float | None = None) -> dict[str, Any]:
        return await self.get(f"/api/hitl/requests/{quote(request_id, safe='')}", wait=wait)

    def hash(self, body: object) -> str:
        """Return what tells a body, sent with this key, from any other."""
        told = json.dumps([dict(self._headers), body], sort_keys=True)
        return hashlib.sha256(told.encode()).hexdigest()

    async def _post(
        self, path: str, body: object, once: str, params: Mapping[str, float]
    ) -> httpx.Response:
        headers = {"Idempotency-Key": once}
        return await self._send("POST", path, headers, json=body, params=params)

    async def _send(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, **more: Any
    ) -> httpx.Response:
        sent = {**self._headers, **(headers or {})}
        try:
            return await self._http.request(method, path, headers=sent, **more)
        except httpx.RequestError as error:
            why = str(error) or type(error).__name__
            raise CallRefused(f"{self.url} does not answer: {why}.") from error


def _read_answer(response: httpx.Response) -> Any:
    try:
        answer = response.json()
    except ValueError as error:
        raise CallRefused(f"What answers at {response.url} is not our server.") from error
    if response.is_error:
        raise CallRefused(_describe_problem(response.status_code, answer))
    return answer


def _describe_problem(status: int, problem: Mapping[str, Any]) -> str:
    """Return what the API says, and who was first if somebody was."""
    detail = f"{status}: {problem.get('detail') or problem.get('title')}"
    first: Mapping[str, Any] = problem.get("resolvedBy") or {}
    return f"{detail} {first['id']} was first, at {problem['resolvedAt']}." if first else detail
