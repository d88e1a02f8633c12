"""A pydantic-ai agent whose tool waits for a person. Needs HITL_URL and HITL_KEY."""

import os

import httpx
from pydantic_ai import Agent, DeferredToolRequests, DeferredToolResults, ToolDenied

server = httpx.Client(base_url=os.environ["HITL_URL"], timeout=90)
server.headers["Authorization"] = f"Bearer {os.environ['HITL_KEY']}"
agent = Agent(os.environ.get("MODEL", "openai:gpt-5"), output_type=[str, DeferredToolRequests])


@agent.tool_plain(requires_approval=True)
def refund(order: str, amount: int) -> str:
    return f"refunded {amount} euros of order {order}"


def ask(call):
    body = {"question": f"Run {call.tool_name}?", "originAgent": "refund desk"}
    body["action"] = {"name": call.tool_name, "arguments": call.args_as_dict()}
    body["action"]["allowedDecisions"] = ["approve", "reject"]
    key = {"Idempotency-Key": call.tool_call_id}
    asked = server.post("/api/hitl/requests", json=body, headers=key).raise_for_status().json()
    path = f"/api/hitl/requests/{asked['requestId']}?wait=60"
    while (answer := server.get(path).raise_for_status().json()["answer"]) is None:
        pass  # nobody has answered yet
    return True if answer["approved"] else ToolDenied(answer["reason"])


result = agent.run_sync("Refund order A-1, 40 euros.")
while isinstance(result.output, DeferredToolRequests):
    decided = {call.tool_call_id: ask(call) for call in result.output.approvals}
    said = DeferredToolResults(approvals=decided)
    result = agent.run_sync(message_history=result.all_messages(), deferred_tool_results=said)
print(result.output)
