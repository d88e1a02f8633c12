"""Our own API, as other protocols call it: over HTTP, or within the server's process."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx

CALL_SECONDS = 75.0  # a call waits 60 s at most


class CallRefused(Exception):
    """The API said no, or nobody answered. `detail` is for a person."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class Rest:
    """The API with somebody's key. `url`: where its pages are. Every method raises CallRefused."""

    def __init__(self, http: httpx.AsyncClient, url: str, headers: Mapping[str, str]) -> None:
        self._http = http
        self.url = url
        self._headers = headers

    async def get(self, path: str, **params: str | float | None) -> Any:
        given = {name: value for name, value in params.items() if value is not None}
        return await self._call("GET", path, params=given)

    async def post(self, path: str, body: object, once: str, **params: float) -> Any:
        """Do it once: a repeated call with that Idempotency-Key gets the first one's answer."""
        headers = {"Idempotency-Key": once}
        return await self._call("POST", path, json=body, headers=headers, params=params)

    async def show_request(self, request_id: str, wait: float | None = None) -> dict[str, Any]:
        return await self.get(f"/api/hitl/requests/{quote(request_id, safe='')}", wait=wait)

    def hash(self, body: object) -> str:
        """Return what tells a body, sent with this key, from any other."""
        told = json.dumps([dict(self._headers), body], sort_keys=True)
        return hashlib.sha256(told.encode()).hexdigest()

    async def _call(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, **more: Any
    ) -> Any:
        sent = {**self._headers, **(headers or {})}
        try:
            response = await self._http.request(method, path, headers=sent, **more)
            answer = response.json()
        except (httpx.RequestError, ValueError) as error:
            why = str(error) or type(error).__name__
            raise CallRefused(f"{self.url} does not answer as our server does: {why}") from error
        if response.is_error:
            raise CallRefused(_describe_problem(response.status_code, answer))
        return answer


def _describe_problem(status: int, problem: Mapping[str, Any]) -> str:
    """Return what the API says, and who was first if somebody was."""
    detail = f"{status}: {problem.get('detail') or problem.get('title')}"
    first: Mapping[str, Any] = problem.get("resolvedBy") or {}
    return f"{detail} {first['id']} was first, at {problem['resolvedAt']}." if first else detail
