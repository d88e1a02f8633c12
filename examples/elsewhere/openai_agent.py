"""An agent of OpenAI's SDK whose tool waits for a person. Needs HITL_URL and HITL_KEY."""

import json
import os

import httpx
from agents import Agent, Runner, function_tool

server = httpx.Client(base_url=os.environ["HITL_URL"], timeout=90)
server.headers["Authorization"] = f"Bearer {os.environ['HITL_KEY']}"


@function_tool(needs_approval=True)
def refund(order: str, amount: int) -> str:
    return f"refunded {amount} euros of order {order}"


def decide(state, call):
    body = {"question": f"Run {call.name}?", "originAgent": "refund desk"}
    body["action"] = {"name": call.name, "arguments": json.loads(call.arguments)}
    body["action"]["allowedDecisions"] = ["approve", "reject"]
    key = {"Idempotency-Key": call.raw_item.call_id}
    asked = server.post("/api/hitl/requests", json=body, headers=key).raise_for_status().json()
    path = f"/api/hitl/requests/{asked['requestId']}?wait=60"
    while (answer := server.get(path).raise_for_status().json()["answer"]) is None:
        pass  # nobody has answered yet
    if answer["approved"]:
        return state.approve(call)
    return state.reject(call, rejection_message=answer["reason"])


agent = Agent(name="Refund desk", tools=[refund])
result = Runner.run_sync(agent, "Refund order A-1, 40 euros.")
while result.interruptions:
    state = result.to_state()
    for call in result.interruptions:
        decide(state, call)
    result = Runner.run_sync(agent, state)
print(result.final_output)
