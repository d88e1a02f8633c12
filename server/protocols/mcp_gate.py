"""Another MCP server's tools behind a gate: what does not only read asks a person here first.

A call whose approval came is made once. What was not decided in time becomes a ticket, which
outlives client and gate; a call that was begun and cut off is never made again.
"""

import asyncio
import json
from typing import Any
from uuid import uuid4

from mcp import Client, MCPError
from mcp.server import Server
from mcp.server.context import ServerRequestContext
from mcp_types import (
    INTERNAL_ERROR,
    CallToolRequestParams,
    CallToolResult,
    ContentBlock,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
    ToolAnnotations,
)

from hitl_orchestrator.server.protocols.mcp_server import refuse
from hitl_orchestrator.server.protocols.rest import ApiClient, CallRefused
from hitl_orchestrator.server.protocols.tickets import Tickets

Context = ServerRequestContext[Any, Any]
JsonObject = dict[str, Any]

PAUSE_SECONDS = 0.2
AWAIT = "await_approval"
CUT_OFF = (
    "The call was begun, and what came of it is not known: it may be at work still, or was cut off "
    "in its middle. It is not made again. Look at what it was to do before you ask for it anew."
)
_AWAIT_TOOL = Tool(
    name=AWAIT,
    description="Wait on for a call that a person had not decided yet, and get what came of it.",
    input_schema={
        "type": "object",
        "required": ["ticket"],
        "properties": {"ticket": {"type": "string"}},
    },
    annotations=ToolAnnotations(
        title="Wait for an approval",
        read_only_hint=False,  # the call is made here, once it is approved
        destructive_hint=True,
        idempotent_hint=True,
        open_world_hint=True,
    ),
)


class Gate:
    """`wait_seconds`: then a call becomes a ticket. `asks_always`: what only reads asks, too."""

    def __init__(
        self,
        rest: ApiClient,
        upstream: Client,
        tickets: Tickets,
        wait_seconds: float,
        *,
        asks_always: bool = False,
    ) -> None:
        self._rest = rest
        self._upstream = upstream
        self._tickets = tickets
        self._wait_seconds = wait_seconds
        self._asks_always = asks_always

    def build_server(self) -> Server[Any]:
        """Return the server with the other one's tools."""
        return Server(
            "hitl-gate",
            title="HITL Orchestrator's gate",
            instructions=self._upstream.instructions,
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
        )

    async def _list_tools(
        self, context: Context, params: PaginatedRequestParams | None
    ) -> ListToolsResult:
        tools = await self._find_tools()
        # A ticket is no such output.
        open_ended = [tool.model_copy(update={"output_schema": None}) for tool in tools.values()]
        return ListToolsResult(tools=[*open_ended, _AWAIT_TOOL])

    async def _find_tools(self) -> dict[str, Tool]:
        """Return the tools as they are now: one that has only read may do more tomorrow."""
        found, cursor = dict[str, Tool](), None
        while True:
            page = await self._upstream.list_tools(cursor=cursor, cache_mode="refresh")
            found |= {tool.name: tool for tool in page.tools}
            cursor = page.next_cursor
            if cursor is None:
                break
        if AWAIT in found:
            detail = f"The server behind the gate has a tool {AWAIT} of its own."
            raise MCPError(INTERNAL_ERROR, detail)
        return found

    async def _call_tool(self, context: Context, params: CallToolRequestParams) -> CallToolResult:
        arguments = params.arguments or {}
        try:
            if params.name == AWAIT:
                return await self._settle(str(arguments.get("ticket")))
            tool = (await self._find_tools()).get(params.name)
            if tool is None:
                return refuse(f"There is no tool {params.name}.")
            if not self._asks_always and tool.annotations and tool.annotations.read_only_hint:
                return await self._upstream.call_tool(tool.name, arguments)
            return await self._settle(await self._ask(tool, arguments))
        except CallRefused as error:
            return refuse(f"The call was not made. {error.detail}")

    async def _ask(self, tool: Tool, arguments: JsonObject) -> str:
        """Put the question, and return its ticket."""
        server = self._upstream.server_info
        whose = f"A tool of the MCP server `{server.name if server else 'unnamed'}`."
        body: JsonObject = {
            "question": f"May `{tool.name}` be called?",
            "kind": "approval",
            "additionalContext": f"{whose}\n\n{tool.description or ''}",
            "action": {
                "name": tool.name,
                "arguments": arguments,
                "allowedDecisions": ["approve", "edit", "reject", "respond"],
            },
            "responseSchema": tool.input_schema,
            "metadata": {"via": "mcp gate"},
        }
        request = await self._rest.post("/api/hitl/requests", body, f"mcp-gate-{uuid4()}")
        self._tickets.open(request["requestId"])
        return request["requestId"]

    async def _settle(self, ticket: str) -> CallToolResult:
        """Return what came of the call; make it if it is approved and was not begun yet."""
        if not self._tickets.has(ticket):
            return refuse(f"There is no ticket {ticket} here.")
        if kept := self._tickets.find_result(ticket):
            return CallToolResult.model_validate_json(kept)
        request = await self._wait_for_answer(ticket)
        if request is None:
            return _hand_out(ticket)
        answer: JsonObject | None = request["answer"]  # as ours are: an object
        if not answer or answer["approved"] is not True:
            return refuse(_describe_refusal(request))
        if not self._tickets.claim(ticket):
            kept = self._tickets.find_result(ticket)
            return CallToolResult.model_validate_json(kept) if kept else refuse(CUT_OFF)
        result = await self._call_upstream(request["action"], answer)
        self._tickets.keep_result(ticket, result.model_dump_json(by_alias=True))
        return result

    async def _wait_for_answer(self, ticket: str) -> JsonObject | None:
        """Return the request once it was answered or refused; None: not in time."""
        clock = asyncio.get_running_loop().time
        until = clock() + self._wait_seconds
        while True:
            request = await self._rest.show_request(ticket, wait=max(0.0, until - clock()))
            if request["status"] == "denied" or request["answer"] or request["refusal"]:
                return request
            if clock() >= until:
                return None
            await asyncio.sleep(PAUSE_SECONDS)

    async def _call_upstream(self, action: JsonObject, answer: JsonObject) -> CallToolResult:
        edited = answer["editedArguments"]
        arguments = action["arguments"] if edited is None else edited
        try:
            result = await self._upstream.call_tool(action["name"], arguments)
        except MCPError as error:
            result = refuse(f"The call was made, and ended with an error: {error.message}")
        notes = list[ContentBlock]()
        if arguments != action["arguments"]:
            changed = json.dumps(arguments, ensure_ascii=False)
            notes.append(TextContent(text=f"A person changed the arguments to {changed}."))
        if comment := answer["freeformText"]:
            notes.append(TextContent(text=f"The person who approved it says: {comment}"))
        return result.model_copy(update={"content": [*result.content, *notes]})


def _hand_out(ticket: str) -> CallToolResult:
    text = (
        f"Not made yet: nobody has decided about it. Its ticket is {ticket}: call `{AWAIT}` with "
        "it to wait on. Do not call the tool again for this."
    )
    return CallToolResult(content=[TextContent(text=text)], structured_content={"ticket": ticket})


def _describe_refusal(request: JsonObject) -> str:
    """Say why it was not made, and what a person answered instead."""
    answer: JsonObject = request["answer"] or {}
    if said := answer.get("freeformText"):
        return f"The call was not made. A person says instead: {said}"
    return f"The call was not made: {request['refusal'] or answer.get('reason') or 'refused'}"
