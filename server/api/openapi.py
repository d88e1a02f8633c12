"""What FastAPI cannot derive of the API's description.

Problems, streams, the key, and what each field means.
"""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from hitl_orchestrator.server.api.descriptions import EXAMPLES, EXTENDS, FIELDS
from hitl_orchestrator.server.api.problems import MEDIA_TYPE

Responses = dict[int | str, dict[str, Any]]

ABOUT = """Agents ask, people answer.

Start a run; when it needs a person it pauses, and `GET /api/hitl/pending` shows what it asks.
`POST /api/hitl/resume` answers: with its 200 the decision is durable, and the run goes on by
itself.

Errors are RFC 9457 problems (`application/problem+json`). Times are RFC 3339 in UTC. Unknown fields
and query parameters are refused.
"""

WHEN = {
    401: "The key is missing or wrong.",
    403: "The key does not cover the call, or the body names another operator than the key.",
    404: "There is no such run, thread, or request of that run; or no such agent of that key.",
    409: "The request is not pending any more, the run has ended (or, to be retried, has not "
    "failed) or is held, or the thread has a run that is active or `stillWorking`; or an agent's "
    "id or step is another's.",
    413: "The body has more than 1 MiB.",
    422: "Body, query or header does not fit. Nothing is saved.",
    503: "The database is out of reach, this client holds too many streams or waiting calls, or a "
    "newer version wrote what this server cannot read (`urn:hitl:unreadable`): nothing is changed. "
    "Try again after `Retry-After` seconds.",
}
EVENTS: Responses = {
    200: {
        "description": "Server-sent events without a name: `id` is the frame's `seq`, "
        "`data` the frame. A comment at the start, and every 15 s.",
        "content": {
            "text/event-stream": {
                "schema": {"type": "string"},
                "example": 'id: 1\ndata: {"seq": 1, "type": "start", …}\n\n',
            }
        },
    },
    204: {"description": "`Last-Event-ID` is the last event that there will be."},
}
READY: Responses = {
    200: {
        "description": "Ready.",
        "content": {
            "application/json": {"example": {"status": "ready", "heldRuns": 0, "liveWorkers": 2}}
        },
    }
}
METRICS: Responses = {
    200: {
        "description": "Prometheus' text format.",
        "content": {"text/plain": {"schema": {"type": "string"}}},
    }
}

PROBLEM = {
    "title": "Problem",
    "description": "RFC 9457. Beside these fields it has what the case needs.",
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {
            "type": "string",
            "description": "What kind of problem: `urn:hitl:…`, or `about:blank` for one that is "
            "no more than its status.",
        },
        "title": {"type": "string", "description": "The kind in words."},
        "status": {"type": "integer", "description": "The HTTP status."},
        "detail": {"type": "string", "description": "What happened, for a person."},
        "errors": {
            "type": "array",
            "description": "422: what does not fit, and where: a JSON pointer into the body, "
            "or `query.limit`.",
            "items": {
                "type": "object",
                "properties": {
                    "path": {"type": "string", "description": "Where."},
                    "message": {"type": "string", "description": "What does not fit there."},
                    "rule": {
                        "type": "string",
                        "description": "The JSON Schema keyword, for an answer's `data`.",
                    },
                },
            },
        },
        "requestId": {
            "type": "string",
            "description": "422: the request that the answer does not fit.",
        },
        "requestStatus": {
            "type": ["string", "null"],
            "description": "409: the request's status now.",
        },
        "pendingRequestId": {
            "type": ["string", "null"],
            "description": "409: the run's oldest pending request now.",
        },
        "resolvedBy": {
            "description": "409: the operator who was first, if known.",
            "anyOf": [{"$ref": "#/components/schemas/Person"}, {"type": "null"}],
        },
        "resolvedAt": {
            "type": "string",
            "format": "date-time",
            "description": "409: when somebody was first.",
        },
        "runStatus": {"type": "string", "description": "409: the run's status."},
        "held": {
            "description": "409: which agent does not fit, and why. The decision was not taken.",
            "$ref": "#/components/schemas/Held",
        },
    },
    "example": {
        "type": "urn:hitl:request-not-pending",
        "title": "Request not pending",
        "status": 409,
        "detail": "Request hitl_req_7d1f is resolved, not pending any more.",
        "requestStatus": "resolved",
        "pendingRequestId": None,
        "resolvedBy": {"id": "operator-7", "displayName": "Ada", "email": None},
        "resolvedAt": "2026-11-22T09:30:00Z",
    },
}


def problems(*statuses: int) -> Responses:
    """Describe the problems of a route; 401, 403 and 503 go without saying."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        status: {"description": WHEN[status], "content": content}
        for status in sorted({401, 403, 503, *statuses})
    }


def describe(app: FastAPI, root_path: str) -> None:
    """Let the app describe itself. `root_path`: what its paths stand below for who calls it."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _described(
                get_openapi(
                    title=app.title,
                    version=app.version,
                    description=app.description,
                    routes=app.routes,
                    servers=[{"url": root_path}] if root_path else None,
                )
            )
        return app.openapi_schema

    app.openapi = openapi


def _described(spec: dict[str, Any]) -> dict[str, Any]:
    components = spec["components"]
    components["schemas"]["Problem"] = PROBLEM
    components["securitySchemes"] = {
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "description": "API_KEY, or yours.",
        },
        "key": {"type": "apiKey", "in": "header", "name": "x-api-key", "description": "The same."},
    }
    for path, operations in spec["paths"].items():
        for operation in operations.values():
            if path.startswith("/api/"):
                operation["security"] = [{"bearer": []}, {"key": []}]
            for parameter in operation.get("parameters", []):
                parameter["schema"] = _never_null(parameter["schema"])
    for name, schema in components["schemas"].items():
        for field, property_ in schema.get("properties", {}).items():
            if text := _find_description(name, field):
                property_.setdefault("description", text)
        if name in EXAMPLES:
            schema["example"] = EXAMPLES[name]
    return spec


def _find_description(record: str, field: str) -> str | None:
    names = (f"{record}.{field}", f"{EXTENDS.get(record)}.{field}", field)
    return next((FIELDS[name] for name in names if name in FIELDS), None)


def _never_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Leave out null: a parameter is there or not."""
    kinds = [kind for kind in schema.pop("anyOf", []) if kind != {"type": "null"}]
    return schema | kinds[0] if kinds else schema
