"""A system of real processes that is killed and started again with other agents."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.forked import Forked, serving, working

Json = dict[str, Any]

WITHIN_SECONDS = 60.0
QUICK = {"HITL_CLAIM_SECONDS": "4", "HITL_DRAIN_SECONDS": "5"}


@dataclass
class System:
    """`dispatch`: with `queue` a worker drives beside the server."""

    database_url: str
    folder: Path
    dispatch: str
    processes: ExitStack = field(default_factory=ExitStack)
    server: Forked | None = None

    @property
    def log(self) -> Path:
        return self.folder / "work.log"

    @property
    def done(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []

    def settings(self, entry: str) -> dict[str, str]:
        return {"HITL_AGENTS": entry, "HITL_TEST_LOG": str(self.log), **QUICK}

    def deploy(self, entry: str, worker: str | None = None) -> None:
        """Kill what runs, and start anew with that entry of HITL_AGENTS.

        `worker`: the worker's entry, where it is another; empty: none is started.
        """
        self.processes.close()
        self.server = self.serve(entry)
        if self.dispatch == "queue" and worker != "":
            self.work(worker or entry)

    def serve(self, entry: str) -> Forked:
        settings = self.settings(entry) | {"HITL_DISPATCH": self.dispatch}
        return self.processes.enter_context(serving(self.database_url, **settings))

    def work(self, entry: str) -> Forked:
        return self.processes.enter_context(working(self.database_url, **self.settings(entry)))

    def get(self, path: str) -> Json:
        assert self.server
        with self.server.client() as client:
            return client.get(path).json()

    def post(self, path: str, body: Json) -> tuple[int, Json]:
        assert self.server
        with self.server.client() as client:
            reply = client.post(path, json=body)
            return reply.status_code, reply.json()

    def start(self, output: str = "letter") -> Json:
        """Start a run and wait until it has paused."""
        _, run = self.post("/api/runs?wait=30", {"objective": "Write", "outputs": [output]})
        return run

    def answer(self, run: Json, approved: bool) -> tuple[int, Json]:
        body: Json = {"requestId": run["pendingRequestId"], "approved": approved}
        return self.post(
            "/api/hitl/resume",
            {"runId": run["runId"], "requestId": body["requestId"], "responses": [body]},
        )

    def run(self, run: Json) -> Json:
        return self.get(f"/api/runs/{run['runId']}")

    def wait(self, run: Json, until: Callable[[Json], bool]) -> Json:
        """Return the run once it is so."""
        end = time.monotonic() + WITHIN_SECONDS
        while not until(found := self.run(run)):
            assert time.monotonic() < end, found
            time.sleep(0.05)
        return found


def is_held(run: Json) -> bool:
    return run["held"] is not None


def is_free(run: Json) -> bool:
    return run["held"] is None


def has_ended(run: Json) -> bool:
    return run["status"] in ("completed", "failed", "cancelled")


def list_actions(run: Json) -> list[str]:
    return [entry["action"] for entry in run["metadata"]["auditLog"]]
