"""The queue as tools of MCP: a model may look and start runs, a person decides.

`decide` takes no decision: the person fills in a form of the host (elicitation). Revision
2026-07-28 has the host call again with the form, 2025-11-25 has us ask in the middle of the call.
"""

import json
from collections.abc import Awaitable, Callable, Sequence
from importlib.metadata import version
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import quote
from uuid import uuid4

from mcp import MCPError
from mcp.server import Server
from mcp.server.context import ServerRequestContext
from mcp_types import (
    CallToolRequestParams,
    CallToolResult,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    InputRequiredResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
    ToolAnnotations,
)
from mcp_types.version import is_version_at_least
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hitl_orchestrator.server.protocols.description import describe_question
from hitl_orchestrator.server.protocols.forms import (
    FormMisfit,
    build_form,
    read_answer,
)
from hitl_orchestrator.server.protocols.rest import ApiClient, CallRefused

Context = ServerRequestContext[Any, Any]
JsonObject = dict[str, Any]

CALLED_AGAIN = "2026-07-28"  # from this revision on the host calls again with the form
START_SECONDS = 10.0
ABOUT = (
    "Questions of agents that wait for a person, most urgent first. Show and explain them. "
    "The person decides: `decide` shows them a form. Never decide in their place."
)
SHORT = (
    "requestId", "runId", "originAgent", "kind", "urgency", "question", "createdAt", "expiresAt",
)  # fmt: skip
STARTED = ("runId", "threadId", "status", "pendingRequestId", "result", "error")


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, title="Arguments")


class _Wanted(_Arguments):
    urgency: Literal["low", "normal", "high"] | None = None
    agent: Annotated[str | None, Field(description="Only questions of this agent.")] = None
    limit: Annotated[int, Field(ge=1, le=200)] = 20


class _OfRequest(_Arguments):
    request_id: str


class _OfRun(_Arguments):
    run_id: str


class _NewRun(_Arguments):
    objective: Annotated[str, Field(min_length=1, max_length=10_000)]
    inputs: Annotated[JsonObject | None, Field(description="Facets: name to JSON.")] = None
    outputs: Annotated[list[str] | None, Field(description="Facets that are wanted.")] = None


class _Call(NamedTuple):
    """A call of a tool. `operator`: who decides, where the key speaks for others."""

    rest: ApiClient
    operator: str | None
    context: Context
    params: CallToolRequestParams


class _Offer(NamedTuple):
    """A tool; what it does is described by the docstring of `call`."""

    arguments: type[_Arguments]
    annotations: ToolAnnotations
    call: Callable[[_Call, Any], Awaitable[JsonObject | InputRequiredResult]]


def build_server(
    find_rest: Callable[[Context], ApiClient], operator: str | None = None
) -> Server[Any]:
    """Return the server. `find_rest`: the API with the key of who calls.

    Not the SDK's MCPServer, which takes over the process's logging.
    """

    async def call_tool(
        context: Context, params: CallToolRequestParams
    ) -> CallToolResult | InputRequiredResult:
        offer = OFFERS.get(params.name)
        if offer is None:
            return refuse(f"There is no tool {params.name}; there are {', '.join(OFFERS)}.")
        call = _Call(find_rest(context), operator, context, params)
        try:
            given = offer.arguments.model_validate(params.arguments or {})
            result = await offer.call(call, given)
        except ValidationError as error:
            return refuse(_describe_misfit(error))
        except (CallRefused, FormMisfit) as error:
            return refuse(error.detail)
        return result if isinstance(result, InputRequiredResult) else _show(result)

    return Server(
        "hitl-orchestrator",
        title="HITL Orchestrator",
        version=version("hitl-orchestrator"),
        instructions=ABOUT,
        on_list_tools=_list_tools,
        on_call_tool=call_tool,
    )


async def _list_tools(context: Context, params: PaginatedRequestParams | None) -> ListToolsResult:
    tools = [
        Tool(
            name=name,
            description=offer.call.__doc__,
            input_schema=offer.arguments.model_json_schema(),
            annotations=offer.annotations,
        )
        for name, offer in OFFERS.items()
    ]
    return ListToolsResult(tools=tools)


def refuse(detail: str) -> CallToolResult:
    """Return the result of a call that came to nothing; the model reads why."""
    return CallToolResult(content=[TextContent(text=detail)], is_error=True)


def _show(result: JsonObject) -> CallToolResult:
    text = json.dumps(result, ensure_ascii=False)
    return CallToolResult(content=[TextContent(text=text)], structured_content=result)


def _describe_misfit(error: ValidationError) -> str:
    wrong = [f"`{'.'.join(map(str, one['loc']))}`: {one['msg']}" for one in error.errors()]
    return "; ".join(wrong)


async def _list_pending(call: _Call, wanted: _Wanted) -> JsonObject:
    """List questions that wait for a person, most urgent first, then oldest."""
    page = await call.rest.get("/api/hitl/requests", status="pending", **wanted.model_dump())
    shown = [_pick(request, SHORT) for request in page["requests"]]
    return {"requests": shown, "hasMore": page["nextCursor"] is not None}


def _pick(whole: JsonObject, names: Sequence[str]) -> JsonObject:
    return {name: whole.get(name) for name in names}


async def _show_request(call: _Call, wanted: _OfRequest) -> JsonObject:
    """Show all of one question: its context, its action with arguments, its options, its answer."""
    request = await call.rest.show_request(wanted.request_id)
    return {**request, "url": _find_page(call, request)}


async def _show_run(call: _Call, wanted: _OfRun) -> JsonObject:
    """Show a run: its plan, facets, questions, answers and result."""
    return await call.rest.get(f"/api/runs/{quote(wanted.run_id, safe='')}")


async def _start_run(call: _Call, wanted: _NewRun) -> JsonObject:
    """Start a run. It asks people by itself where it needs them."""
    body = wanted.model_dump(exclude_none=True)
    run = await call.rest.post("/api/runs", body, f"mcp-{uuid4()}", wait=START_SECONDS)
    return _pick(run, STARTED)


async def _decide(call: _Call, wanted: _OfRequest) -> JsonObject | InputRequiredResult:
    """Have the person decide a question, in a form of this host; you give no decision.

    What they choose is final. If they close the form, nothing is decided.
    """
    request = await call.rest.show_request(wanted.request_id)
    given = (call.params.input_responses or {}).get(request["requestId"])
    if not isinstance(given, ElicitResult):
        await _check_askable(call, request)
        form = ElicitRequestFormParams(
            message=describe_question(request), requested_schema=build_form(request)
        )
        if is_version_at_least(call.context.protocol_version, CALLED_AGAIN):
            asked = ElicitRequest(params=form)
            return InputRequiredResult(input_requests={request["requestId"]: asked})
        given = await _ask(call, request, form)
    if given.action != "accept":
        return {"requestId": request["requestId"], "decided": None, "note": "Nothing was decided."}
    return await _record(call, request, read_answer(request, given.content or {}))


async def _check_askable(call: _Call, request: JsonObject) -> None:
    """Raise CallRefused if there is nothing to decide any more, or no form to be shown."""
    if request["status"] != "pending":
        run = await call.rest.get(f"/api/runs/{request['runId']}")
        raise CallRefused(_describe_end(request, run))
    capabilities = call.context.session.client_capabilities
    able = capabilities and capabilities.elicitation
    if not able or (able.form is None and able.url is not None):
        raise CallRefused(_send_to_page(call, request))


def _describe_end(request: JsonObject, run: JsonObject) -> str:
    """Say that it is over, and who was first, by the audit log."""
    detail = f"Request {request['requestId']} is {request['status']}, not pending any more."
    for entry in reversed(run["metadata"]["auditLog"]):
        if entry["requestId"] == request["requestId"] and entry["operator"]:
            return f"{detail} {entry['operator']['id']} was first, at {entry['at']}."
    return detail


def _send_to_page(call: _Call, request: JsonObject) -> str:
    page = _find_page(call, request)
    return f"This host cannot show its user a form. Nothing was decided. They decide here: {page}"


def _find_page(call: _Call, request: JsonObject) -> str:
    return f"{call.rest.url}/inbox/q/{quote(request['requestId'], safe='')}"


async def _ask(call: _Call, request: JsonObject, form: ElicitRequestFormParams) -> ElicitResult:
    """Show the form and wait for the person. Raise CallRefused."""
    session, asked = call.context.session, call.context.request_id
    try:
        return await session.elicit_form(form.message, form.requested_schema, asked)
    except MCPError as error:  # no way back to this host is one
        raise CallRefused(f"{_send_to_page(call, request)} ({error.message})") from error
    except ValidationError as error:
        raise FormMisfit(f"The form came back as none: {_describe_misfit(error)}") from error


async def _record(call: _Call, request: JsonObject, answer: JsonObject) -> JsonObject:
    """Send the decision, once however often the host calls. Raise CallRefused."""
    response = {"requestId": request["requestId"], **answer, "metadata": {"via": "mcp"}}
    body: JsonObject = {
        "runId": request["runId"],
        "requestId": request["requestId"],
        "responses": [response],
    }
    if call.operator:
        body["operator"] = {"id": call.operator}
    once = f"mcp-{call.rest.hash(body)}"
    done = await call.rest.post("/api/hitl/resume", body, once)
    return {
        "requestId": request["requestId"],
        "decided": answer,
        "runStatus": done["status"],
        "pendingRequestId": done["pendingRequestId"],
    }


def _annotate(
    title: str, *, looks: bool = False, destroys: bool = False, once: bool = False, opens: bool
) -> ToolAnnotations:
    return ToolAnnotations(
        title=title,
        read_only_hint=looks,
        destructive_hint=destroys,
        idempotent_hint=once,
        open_world_hint=opens,
    )


OFFERS: dict[str, _Offer] = {
    "list_pending": _Offer(
        _Wanted, _annotate("List questions", looks=True, once=True, opens=False), _list_pending
    ),
    "show_request": _Offer(
        _OfRequest, _annotate("Show a question", looks=True, once=True, opens=False), _show_request
    ),
    "show_run": _Offer(
        _OfRun, _annotate("Show a run", looks=True, once=True, opens=False), _show_run
    ),
    "start_run": _Offer(_NewRun, _annotate("Start a run", opens=True), _start_run),
    "decide": _Offer(
        _OfRequest,
        _annotate("Decide a question", destroys=True, once=True, opens=True),
        _decide,
    ),
}
