"""What became of a question, in a line: who decided what, when, and what they said."""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType

from hitl_orchestrator.server.terminal.text import join_lines
from hitl_orchestrator.server.terminal.wire import JsonObject, RequestJson, RunJson

_ENDINGS = {"resume", "deny", "expire", "remove", "cancel", "fail"}  # of a run's audit log
_GAVE: Mapping[str, str] = MappingProxyType(
    {
        "approval": "approved it",
        "rejection": "rejected it",
        "form": "answered with data",
        "freeform": "answered",
    }
)
_CLOSED: Mapping[str, str] = MappingProxyType(
    {
        "remove": "removed it, and cancelled the run",
        "cancel": "cancelled the run",
        "deny": "denied it",
    }
)
SOMEBODY = "somebody"


def describe_decision(request: RequestJson, run: RunJson) -> str:
    """Return who decided what, when; empty while the question is pending."""
    if request["status"] == "pending":
        return ""
    entry = _find_entry(request, run)
    response = _find_decider(request)
    if request["status"] == "resolved" and response:
        said = _describe_response(request, response, entry)
    else:
        said = _describe_denial(request, entry)
    note = join_lines(str(entry.get("note") or ""))
    noted = f" (note: {note})" if note else ""
    return f"{join_lines(said)}{noted}{_describe_time(request, entry)}"


def _find_entry(request: RequestJson, run: RunJson) -> JsonObject:
    """Return the entry of the run's audit log that ended the question; empty: there is none."""
    log: list[JsonObject] = run["metadata"].get("auditLog") or []
    for entry in reversed(log):
        if entry["requestId"] == request["requestId"] and entry["action"] in _ENDINGS:
            return entry
    return {}


def _find_decider(request: RequestJson) -> JsonObject | None:
    """Return the response that decided; others beside it are comments."""
    responses = request.get("responses", [])
    deciding = [each for each in responses if each["responseType"] != "freeform"]
    return next(iter([*deciding, *responses]), None)


def _describe_response(request: RequestJson, response: JsonObject, entry: JsonObject) -> str:
    person: JsonObject = entry.get("operator") or {
        "id": response.get("responderId"),
        "displayName": response.get("responderDisplayName"),
    }
    text = response.get("freeformText")
    words = f": “{text}”" if text else ""
    return f"{_name_person(person)} {_describe_gift(request, response)}{words}"


def _describe_gift(request: RequestJson, response: JsonObject) -> str:
    kind = response["responseType"]
    if kind == "option":
        labels = {option["id"]: option["label"] for option in request.get("options", [])}
        chosen = response["selectedOptionId"]
        return f"chose “{labels.get(chosen, chosen)}”"
    edited = " with changed arguments" if response.get("editedArguments") is not None else ""
    return f"{_GAVE.get(kind, 'answered')}{edited}"


def _describe_denial(request: RequestJson, entry: JsonObject) -> str:
    reason = request.get("denialReason") or entry.get("reason") or ""
    words = f": “{reason}”" if reason else ""
    if entry.get("action") == "expire":
        return "nobody answered in time"
    if operator := entry.get("operator"):
        return f"{_name_person(operator)} {_CLOSED.get(entry['action'], 'denied it')}{words}"
    if entry.get("action") in (None, "deny"):
        return f"a guard denied it{words}"
    return f"closed without an answer{words}"


def _name_person(person: JsonObject) -> str:
    """Return the name, and the id beside it where they differ."""
    own, name = person.get("id") or SOMEBODY, person.get("displayName")
    return f"{name} ({own})" if name and name != own else own


def _describe_time(request: RequestJson, entry: JsonObject) -> str:
    at = entry.get("at") or request.get("updatedAt")
    return f", {datetime.fromisoformat(at).astimezone():%Y-%m-%d %H:%M:%S}" if at else ""
