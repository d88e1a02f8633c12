"""The calls of the server. Each is made again until it is answered, however long that takes."""

import asyncio
import json
import random
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, cast
from urllib.parse import quote

import httpx

CONNECT_SECONDS, ANSWER_SECONDS = 10.0, 30.0
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 5.0
_NOTHING, _TOO_MANY = 204, 429


class Refused(Exception):
    """What the server does not accept; made again, the call would be refused again."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class NotRegistered(Refused):
    """The server does not know the agent (any more)."""


class Lost(Refused):
    """Somebody else has it: the step, or the id of the agent."""


_BY_STATUS = {404: NotRegistered, 409: Lost}


class Server:
    """`tell`: is given a line when the server is away, and one when it is back."""

    def __init__(self, url: str, key: str, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._is_away = False
        self._client = httpx.AsyncClient(
            base_url=url.rstrip("/"),
            headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
            limits=httpx.Limits(max_connections=None),
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def register(self, agent_id: str, registration: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what it grants. Raise Refused; Lost where the id is another's."""
        return await self._call("PUT", _locate(agent_id), registration)

    async def take(
        self, agent_id: str, home: str, token: str, wait: float
    ) -> Mapping[str, Any] | None:
        """Return a step; None: there is none now. Raise Refused, NotRegistered."""
        path = f"{_locate(agent_id)}/steps?wait={wait:g}"
        return await self._call("POST", path, {"home": home, "token": token}, wait)

    async def keep(self, agent_id: str, step: Mapping[str, Any], said: Mapping[str, Any]) -> None:
        """Say that it is worked on, and what was said. Raise Refused, Lost, NotRegistered."""
        await self._call("POST", f"{_locate_step(agent_id, step)}/keep", said)

    async def report(
        self, agent_id: str, step: Mapping[str, Any], report: Mapping[str, Any]
    ) -> None:
        """Raise Refused, Lost, NotRegistered."""
        await self._call("POST", f"{_locate_step(agent_id, step)}/report", report)

    async def _call(
        self, method: str, path: str, body: Mapping[str, Any], wait: float = 0.0
    ) -> Any:
        content = encode(body)
        timeout = httpx.Timeout(CONNECT_SECONDS, read=ANSWER_SECONDS + wait)
        pause = FIRST_PAUSE
        while True:
            after = 0.0
            try:
                response = await self._client.request(
                    method, path, content=content, timeout=timeout
                )
            except httpx.TransportError as error:
                self._note_away(f"{type(error).__name__}: {error}".removesuffix(": "))
            else:
                if response.status_code < 500 and response.status_code != _TOO_MANY:
                    self._note_back()
                    return _read(response)
                after = _read_pause(response)
                if response.status_code != _TOO_MANY:
                    self._note_away(_read_detail(response))
            await asyncio.sleep(max(after, pause * random.uniform(0.5, 1)))  # noqa: S311
            pause = min(pause * 2, LONGEST_PAUSE)

    def _note_away(self, reason: str) -> None:
        if not self._is_away:
            self._tell(f"the server is away ({reason}); trying again until it is back")
        self._is_away = True

    def _note_back(self) -> None:
        if self._is_away:
            self._tell("the server is back")
        self._is_away = False


def encode(body: Mapping[str, Any]) -> bytes:
    """Return it as it is sent."""
    try:
        return json.dumps(body, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # half a character
        return json.dumps(body).encode()


def _locate(agent_id: str) -> str:
    return f"/api/agents/{quote(agent_id, safe='')}"


def _locate_step(agent_id: str, step: Mapping[str, Any]) -> str:
    run_id, step_id = (quote(str(step[key]), safe="") for key in ("runId", "stepId"))
    return f"{_locate(agent_id)}/steps/{run_id}/{step_id}"


def _read(response: httpx.Response) -> Any:
    if response.status_code == _NOTHING:
        return None
    if not response.is_success:
        _refuse(response)
    try:
        return response.json()
    except ValueError as error:
        raise Refused(response.status_code, "what answers there is no HITL server") from error


def _refuse(response: httpx.Response) -> NoReturn:
    kind = _BY_STATUS.get(response.status_code, Refused)
    raise kind(response.status_code, _read_detail(response))


def _read_detail(response: httpx.Response) -> str:
    """Return what the problem says; of what is none, the status."""
    try:
        problem: Any = response.json()
    except ValueError:
        problem = None
    said = cast("dict[str, Any]", problem if isinstance(problem, dict) else {})
    detail = said.get("detail") or said.get("title") or response.reason_phrase
    return f"{response.status_code}: {detail}"


def _read_pause(response: httpx.Response) -> float:
    """Return how long to wait at least, in seconds."""
    try:
        return float(response.headers.get("Retry-After", "0"))
    except ValueError:  # a date: the next try will tell
        return 0.0
