"""The API's JSON as a server sends it, and how a view of it looks."""

from datetime import UTC, datetime
from io import StringIO
from typing import Any

from rich.console import RenderableType

from hitl_orchestrator.server.terminal.console import Terminal
from hitl_orchestrator.server.terminal.wire import PausedRunJson, RequestJson, RunJson

NOW = datetime(2026, 11, 22, 10, 30, tzinfo=UTC)
OPTIONS: list[Any] = [
    {"id": "dev", "label": "Developers", "description": "who build on it"},
    {"id": "ops", "label": "Operators", "description": None},
]


def request(**changes: Any) -> RequestJson:
    asked: Any = {
        "requestId": "hitl_1",
        "runId": "run_1",
        "originAgent": "announcement.strategist",
        "status": "pending",
        "kind": "choice",
        "question": "Whom to address?",
        "allowFreeForm": False,
        "urgency": "high",
        "additionalContext": "Drawn from **the source**.",
        "options": OPTIONS,
        "action": None,
        "responseSchema": None,
        "operatorPrompt": "Choose one of 2 options.",
        "denialReason": None,
        "contractSummary": {
            "capabilityId": "announcement.strategist",
            "facets": {"input": ["objective"], "output": ["brief"]},
        },
        "createdAt": "2026-11-22T09:00:00Z",
        "expiresAt": None,
        "responses": [],
    }
    return asked | changes


def paused(*requests: RequestJson) -> PausedRunJson:
    return {"executionContext": {"objective": "Announce it"}, "pendingRequests": list(requests)}


def step(name: str, status: str, reason: str | None = None) -> dict[str, Any]:
    return {
        "stepId": f"s_{name}",
        "capabilityId": f"desk.{name}",
        "label": name.title(),
        "status": status,
        "reason": reason,
    }


def ended_run(**changes: Any) -> RunJson:
    steps = [
        step("writer", "completed"),
        step("publisher", "denied", "not today"),
        step("mailer", "skipped"),
    ]
    published = {
        "folder": "run_1",
        "files": [{"channel": "x", "file": "x.txt"}],
        "approvedBy": None,
    }
    run: Any = {
        "runId": "run_1",
        "threadId": "t_1",
        "status": "completed",
        "objective": "Announce it",
        "pendingRequestId": None,
        "requests": [],
        "plan": {"version": 2, "steps": steps},
        "error": None,
        "metadata": {"auditLog": []},
        "createdAt": "2026-11-22T09:00:00Z",
        "result": {
            "outputs": {"published": published, "brief": {"audience": "dev"}},
            "notDone": [
                {"stepId": "s1", "capabilityId": "desk.publisher", "reason": "not today"},
            ],
        },
    }
    return run | changes


def shown(view: RenderableType, color: bool = False) -> str:
    out = StringIO()
    system = "truecolor" if color else None
    Terminal(out, width=100, force_terminal=color, color_system=system).print(view)
    return out.getvalue()
