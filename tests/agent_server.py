"""LangGraph's own API on a free port of this machine, as far as we use it, with real graphs.

As `langgraph dev` 0.16.7 answers; tests/foreign asks a real one. What can be wrong with a server is
told by its fields.
"""

import asyncio
import socket
import threading
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, Interrupt, PregelTask, StateSnapshot
from pydantic_core import to_jsonable_python

from hitl_orchestrator.nodes.run_kinds import AgentGraph

Body = dict[str, Any]


@dataclass
class AgentServer:
    """`calls`: the requests it got, as `POST /threads`; `headers` of the last. `begun`: by which
    bodies runs were.

    `breaks`: at which calls, counted from 0, it answers 500: before it does anything, or after.
    `joins_lost`: a state has no tasks, as behind a join. `bare_ids`: all questions of a task have
    one id, as before LangGraph 1.2.20. `join_seconds`: so long it says nothing to who waits.
    `meanwhile`: by which bodies somebody else's runs begin and end while a thread is read.
    """

    url: str
    graphs: dict[str, AgentGraph]
    calls: list[str] = field(default_factory=list[str])
    headers: dict[str, str] = field(default_factory=dict[str, str])
    begun: list[Body] = field(default_factory=list[Body])
    breaks: dict[int, str] = field(default_factory=dict[int, str])
    joins_lost: bool = False
    bare_ids: bool = False
    join_seconds: float = 0
    meanwhile: deque[Body] = field(default_factory=deque[Body])
    threads: dict[str, Body] = field(default_factory=dict[str, Body])
    runs: list[Body] = field(default_factory=list[Body])
    working: dict[str, asyncio.Task[None]] = field(default_factory=dict[str, asyncio.Task[None]])

    def count_runs(self) -> int:
        return self.calls.count("POST /threads/runs")

    def list_runs(self, thread_id: str) -> list[Body]:
        """Return them, the newest first."""
        return [run for run in reversed(self.runs) if run["thread_id"] == thread_id]

    async def begin(self, thread_id: str, body: Body) -> Body:
        if self.threads[thread_id]["status"] == "busy":
            return {}
        run: Body = {
            "run_id": str(uuid4()),
            "thread_id": thread_id,
            "status": "running",
            "created_at": f"{len(self.runs):09}",
            "metadata": body.get("metadata") or {},
            "graph": body["assistant_id"],
        }
        self.runs.append(run)
        self.begun.append(body)
        self.threads[thread_id].update(status="busy", graph=body["assistant_id"])
        self.working[run["run_id"]] = asyncio.create_task(self._run(run, body))
        return run

    async def _run(self, run: Body, body: Body) -> None:
        thread, graph = self.threads[run["thread_id"]], self.graphs[run["graph"]]
        config: RunnableConfig = {"configurable": {"thread_id": run["thread_id"]}}
        given: Any = body.get("input")
        if command := body.get("command"):
            state = await graph.aget_state(config)
            waiting = {self._name(task.id, one): one.id for task, one in _list_asks(state)}
            replies = command["resume"].items()
            given = Command(resume={waiting.get(id_, id_): said for id_, said in replies})
        try:
            await graph.ainvoke(given, config, durability="sync")
        except Exception as error:  # noqa: BLE001  # a graph may raise anything
            run["error"] = {"error": type(error).__name__, "message": str(error)}
            run["status"] = thread["status"] = "error"
        else:
            state = await graph.aget_state(config)
            run["status"], thread["status"] = "success", "interrupted" if state.tasks else "idle"

    async def read_state(self, thread_id: str) -> Body:
        graph = self.graphs.get(self.threads[thread_id].get("graph", ""))
        if graph is None:
            return {"values": {}, "next": [], "tasks": [], "created_at": None, "checkpoint": None}
        state = await graph.aget_state({"configurable": {"thread_id": thread_id}}, subgraphs=True)
        return {
            "values": to_jsonable_python(state.values),
            "next": [] if self.joins_lost else [*state.next],
            "tasks": [] if self.joins_lost else self._write_tasks(state),
            "created_at": state.created_at,
        }

    async def read_thread(self, thread_id: str) -> Body:
        thread = self.threads[thread_id]
        interrupts: Body = {}
        if graph := self.graphs.get(thread.get("graph", "")):
            state = await graph.aget_state({"configurable": {"thread_id": thread_id}})
            interrupts = {one["id"]: one["interrupts"] for one in self._write_tasks(state)}
        return {**thread, "interrupts": interrupts}

    def _write_tasks(self, state: StateSnapshot) -> list[Body]:
        return [self._write_task(task) for task in state.tasks]

    def _write_task(self, task: PregelTask) -> Body:
        """Return it without its result, as in JavaScript."""
        return {
            "id": task.id,
            "name": task.name,
            "error": str(task.error) if task.error else None,
            "interrupts": [self._write(task.id, one) for one in task.interrupts],
            "state": self._write_inner(task.state),
        }

    def _write_inner(self, state: object) -> Body | None:
        if not isinstance(state, StateSnapshot):
            return None
        return {"tasks": self._write_tasks(state), "next": [*state.next]}

    def _write(self, task_id: str, interrupt: Interrupt[Any]) -> Body:
        value = to_jsonable_python(interrupt.value)
        return {"id": self._name(task_id, interrupt), "value": value}

    def _name(self, task_id: str, interrupt: Interrupt[Any]) -> str:
        """Return the id by which it is known outside."""
        return task_id.replace("-", "") if self.bare_ids else interrupt.id


@contextmanager
def agent_server(**graphs: AgentGraph) -> Generator[AgentServer]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = AgentServer(f"http://127.0.0.1:{listening.getsockname()[1]}", _keep(graphs))
        config = uvicorn.Config(
            _build_api(server),
            log_level="critical",
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=1,
        )
        running = uvicorn.Server(config)
        listening.listen()
        thread = threading.Thread(target=running.run, args=([listening],))
        thread.start()
        try:
            yield server
        finally:
            running.should_exit = True
            thread.join()


def _keep(graphs: dict[str, AgentGraph]) -> dict[str, AgentGraph]:
    return {name: graph.copy({"checkpointer": InMemorySaver()}) for name, graph in graphs.items()}


def _list_asks(state: StateSnapshot) -> list[tuple[Any, Interrupt[Any]]]:
    return [(task, one) for task in state.tasks for one in task.interrupts]


def _build_api(server: AgentServer) -> FastAPI:
    app = FastAPI()

    async def count(request: Request, answer: Callable[[Request], Any]) -> Any:
        breaks = server.breaks.get(len(server.calls))
        parts = [part for part in request.url.path.split("/") if part.isalpha()]
        server.calls.append(f"{request.method} /{'/'.join(parts)}")
        server.headers = {**request.headers}
        if breaks == "before":
            return JSONResponse({"detail": "broken"}, 500)
        answered = await answer(request)
        return JSONResponse({"detail": "broken"}, 500) if breaks else answered

    app.middleware("http")(count)

    async def create_thread(request: Request) -> Body:
        body = await request.json()
        empty = {"thread_id": body["thread_id"], "status": "idle"}
        return server.threads.setdefault(body["thread_id"], empty)

    async def get_thread(thread_id: str) -> Body:
        while server.meanwhile:
            run = await server.begin(thread_id, server.meanwhile.popleft())
            await server.working[run["run_id"]]
        return await server.read_thread(thread_id)

    async def get_state(thread_id: str) -> Body:
        return await server.read_state(thread_id)

    async def list_runs(thread_id: str) -> list[Body]:
        return server.list_runs(thread_id)

    async def create_run(thread_id: str, request: Request) -> JSONResponse:
        body = await request.json()
        if body["assistant_id"] not in server.graphs:
            return JSONResponse({"detail": f"Invalid assistant: {body['assistant_id']}"}, 422)
        run = await server.begin(thread_id, body)
        return JSONResponse(run) if run else JSONResponse({"detail": "busy"}, 409)

    async def join(thread_id: str, run_id: str) -> Any:
        await asyncio.sleep(server.join_seconds)
        await asyncio.shield(server.working[run_id])
        (run,) = [run for run in server.list_runs(thread_id) if run["run_id"] == run_id]
        if "error" in run:
            return {"__error__": run["error"]}
        return (await server.read_state(thread_id))["values"]

    async def draw(name: str) -> Body:
        return server.graphs[name].get_graph(xray=True).to_json()

    app.add_api_route("/threads", create_thread, methods=["POST"])
    app.add_api_route("/threads/{thread_id}", get_thread)
    app.add_api_route("/threads/{thread_id}/state", get_state)
    app.add_api_route("/threads/{thread_id}/runs", list_runs)
    app.add_api_route("/threads/{thread_id}/runs", create_run, methods=["POST"])
    app.add_api_route("/threads/{thread_id}/runs/{run_id}/join", join)
    app.add_api_route("/assistants/{name}/graph", draw)
    return app
