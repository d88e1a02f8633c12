"""A server of the protocol of docs/agents-elsewhere.md in small: it hands out steps, in memory."""

import asyncio
import socket
import threading
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from tests.elsewhere.visits import TASK

KEY = "the-key-of-the-agent"
LEASE_SECONDS, WAIT_SECONDS = 1.5, 0.3


@dataclass
class HandedOut:
    """A step. `token`: of who has it. `reports`: all that were accepted."""

    id: str
    agent: str
    number: int = 1
    token: str | None = None
    home: str | None = None
    answers: Mapping[str, Any] | None = None
    is_open: bool = True  # to be taken
    reports: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    progress: list[Any] = field(default_factory=list[Any])
    kept: int = 0
    tokens: list[str] = field(default_factory=list[str])  # that had it
    until: float = 0.0  # its lease

    def is_free(self, home: str) -> bool:
        is_reported = self.last.get("token") == self.token
        is_let_go = self.is_open or (not is_reported and self.until < time.monotonic())
        return is_let_go and self.home in (None, home)

    @property
    def last(self) -> dict[str, Any]:
        return self.reports[-1] if self.reports else {}


class HandingOut:
    """`breaks`: by what is called, how often and how: "before" nothing is done, "after" the reply
    is lost, a number is that status.
    """

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.port = port
        self.agents: dict[str, dict[str, Any]] = {}
        self.steps: dict[str, HandedOut] = {}
        self.calls: list[str] = []
        self.breaks: dict[str, list[str | int]] = {}
        self.headers: list[dict[str, str]] = []

    def hand_out(self, agent: str, step_id: str = "s1") -> HandedOut:
        self.steps[step_id] = HandedOut(step_id, agent)
        return self.steps[step_id]

    def answer(self, step: HandedOut) -> None:
        """Say "to …" to each question."""
        questions = step.last["questions"]
        step.answers = {one["key"]: {"value": f"to {one['value']}"} for one in questions}
        step.token, step.is_open, step.number = None, True, step.number + 1

    def register(self, agent: str, given: dict[str, Any]) -> dict[str, Any]:
        self.agents[agent] = given
        for step in self.steps.values():
            if step.home == given["home"]:
                step.until = 0.0
        return {"capabilityId": agent, "leaseSeconds": LEASE_SECONDS, "waitSeconds": WAIT_SECONDS}

    def take(self, agent: str, given: dict[str, Any]) -> dict[str, Any] | None:
        mine = [step for step in self.steps.values() if step.agent == agent]
        free = [step for step in mine if step.token == given["token"]]
        free += [step for step in mine if step.is_free(given["home"])]
        if not free:
            return None
        step = free[0]
        is_begun = step.home is not None and given["token"] not in step.tokens[:1]
        step.token, step.home, step.is_open = given["token"], given["home"], False
        step.tokens.append(given["token"])
        step.until = time.monotonic() + LEASE_SECONDS
        thread_id = f"run_1/{step.id}"
        return {
            "runId": "run_1",
            "stepId": step.id,
            "number": step.number,
            "threadId": thread_id,
            "task": TASK,
            "answers": step.answers,
            "isBegun": is_begun,
        }


def _build_api(server: HandingOut) -> FastAPI:
    app = FastAPI()

    async def break_down(request: Request, call: Any) -> Response:
        name = "register" if request.method == "PUT" else request.url.path.rpartition("/")[2]
        server.calls.append(name)
        server.headers.append({**request.headers})
        left = server.breaks.get(name, [])
        how = left.pop(0) if left else None
        if how == "before":
            return JSONResponse({"detail": "not now"}, 503, {"Retry-After": "0"})
        if isinstance(how, int):
            return JSONResponse({"status": how, "title": "No", "detail": f"because {name}"}, how)
        response: Response = await call(request)
        return Response("lost", 502) if how == "after" else response

    app.middleware("http")(break_down)

    async def register(agent: str, request: Request) -> dict[str, Any]:
        return server.register(agent, await request.json())

    async def take(agent: str, wait: float, request: Request) -> Response:
        given = await request.json()
        loop = asyncio.get_running_loop()
        until = loop.time() + wait
        while True:
            if agent not in server.agents:
                return JSONResponse({"detail": "no such agent"}, 404)
            if taken := server.take(agent, given):
                return JSONResponse(taken)
            if loop.time() >= until:
                return Response(status_code=204)
            await asyncio.sleep(0.01)

    async def keep(step_id: str, request: Request) -> Response:
        given, step = await request.json(), server.steps[step_id]
        if given["token"] != step.token:
            return JSONResponse({"detail": "somebody else has it"}, 409)
        step.progress += given.get("progress", [])
        step.kept += 1
        step.until = time.monotonic() + LEASE_SECONDS
        return Response(status_code=204)

    async def report(step_id: str, request: Request) -> Response:
        given, step = await request.json(), server.steps[step_id]
        if given["token"] != step.token:
            return JSONResponse({"detail": "somebody else has it"}, 409)
        if given not in step.reports:
            step.reports.append(given)
        return Response(status_code=204)

    app.add_api_route("/api/agents/{agent}", register, methods=["PUT"])
    app.add_api_route("/api/agents/{agent}/steps", take, methods=["POST"])
    path = "/api/agents/{agent}/steps/{run_id}/{step_id}"
    app.add_api_route(f"{path}/keep", keep, methods=["POST"])
    app.add_api_route(f"{path}/report", report, methods=["POST"])
    return app


@contextmanager
def handing_out() -> Generator[HandingOut]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        server = HandingOut(listening.getsockname()[1])
        config = uvicorn.Config(
            _build_api(server),
            log_level="critical",
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=1,
        )
        running = uvicorn.Server(config)
        thread = threading.Thread(target=running.run, args=([listening],))
        thread.start()
        try:
            yield server
        finally:
            running.should_exit = True
            thread.join()
