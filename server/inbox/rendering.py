"""Pages from templates. A call by htmx gets the part that changes, any other the whole page."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from hitl_orchestrator.domain.resolutions import describe_ended
from hitl_orchestrator.server.inbox import words
from hitl_orchestrator.server.proxies import find_root_path

HERE = Path(__file__).parent
ASSETS = ("htmx-2.0.11.min.js", "inbox.js", "inbox.css")
NO_STORE = {"Cache-Control": "no-store", "Vary": "HX-Request"}
STATUSES = {  # of steps
    "awaiting_hitl": "waits for an answer",
    "completed": "done",
    "pending": "to come",
    "running": "at work",
    "denied": "refused",
    "failed": "failed",
    "skipped": "skipped",
}
RUN_STATUSES = {
    "queued": "Queued",
    "running": "Running",
    "awaiting_hitl": "Awaiting an answer",
    "completed": "Completed",
    "failed": "Failed",
    "cancelled": "Cancelled",
}


def _write_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)


def _make_environment(now: Callable[[], datetime]) -> Environment:
    def write_age(since: datetime | None) -> str:
        return words.write_age(since, now())

    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    values: dict[str, Any] = {
        "find_changes": words.find_changes,
        "is_long": words.is_long,
        "is_nested": words.is_nested,
        "name_kind": words.name_kind,
        "now": now,
        "run_statuses": RUN_STATUSES,
        "step_statuses": STATUSES,
        "write_span": words.write_span,
        "write_value": words.write_value,
    }
    filters: dict[str, Any] = {
        "age": write_age,
        "json": _write_json,
        "markdown": words.render_markdown,
        "outcome": describe_ended,
        "shown": words.show_text,
    }
    made.globals.update(values)
    made.filters.update(filters)
    return made


_templates = _make_environment(lambda: datetime.now(UTC))


def render(request: Request, template: str, code: int = 200, /, **values: Any) -> HTMLResponse:
    """Render a template. It knows `root`, below which all our addresses are, and `hx`."""
    known = {"path": request.url.path, "hx": is_htmx(request), "code": code}
    return HTMLResponse(write(template, get_root(request), **known, **values), code, NO_STORE)


def write(template: str, root: str, /, **values: Any) -> str:
    return _templates.get_template(template).render(root=root, **values)


def get_root(request: Request) -> str:
    """Return the path below which a proxy shows the server; empty: it has none of its own."""
    return find_root_path(request.scope)


def is_htmx(request: Request) -> bool:
    headers = request.headers
    is_restore = headers.get("HX-History-Restore-Request") == "true"
    return headers.get("HX-Request") == "true" and not is_restore
