"""The API, as other clients than the one under test use it."""

from typing import Any

import httpx

from tests.processes import Running

SEND: dict[str, Any] = {
    "question": "Send it?",
    "kind": "approval",
    "action": {"name": "send", "arguments": {"to": "all", "copies": 9}},
}
TEXT: dict[str, Any] = {"question": "What now?", "kind": "freeform"}
THREE: dict[str, Any] = {"objective": "Survey", "outputs": ["survey"]}  # that many questions


def asking(question: dict[str, Any]) -> dict[str, Any]:
    """Describe a run that asks it."""
    return {"objective": "Ask", "inputs": {"question": question}, "outputs": ["answer"]}


class Queue:
    def __init__(self, server: Running, database_url: str) -> None:
        self.server, self.database_url = server, database_url
        self.url = f"{server.url}/langgraph"
        self.api = server.client()

    def start(self, body: dict[str, Any], **more: Any) -> dict[str, Any]:
        """Return a run that has asked, or ended."""
        done = self.api.post("/api/runs?wait=20", json={**body, **more})
        assert done.status_code == 202, done.text
        return done.json()

    def run(self, run_id: str) -> dict[str, Any]:
        """Return it once it is at rest."""
        return self.api.get(f"/api/runs/{run_id}?wait=20").json()

    def request(self, request_id: str) -> dict[str, Any]:
        return self.api.get(f"/api/hitl/requests/{request_id}").json()

    def answer(self, run: dict[str, Any], request_id: str, **response: Any) -> None:
        body = {"requestId": request_id, **response}
        call = {"runId": run["runId"], "requestId": request_id, "responses": [body]}
        done: httpx.Response = self.api.post("/api/hitl/resume?wait=20", json=call)
        assert done.status_code == 200, done.text
