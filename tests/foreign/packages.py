"""Agents as the documents of deepagents, langgraph-supervisor and langgraph-swarm have them.

They run in an environment of their own, with what these packages want: test_packages.py makes it.
"""

# pyright: reportMissingImports=false, reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deepagents import create_deep_agent
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool
from langgraph_supervisor import create_supervisor
from langgraph_swarm import create_handoff_tool, create_swarm


@tool
def send_mail(to: str) -> str:
    """Send a mail."""
    with Path(os.environ["EFFECTS"]).open("a") as effects:
        effects.write(f"{to}\n")
    return f"sent to {to}"


class Scripted(BaseChatModel):
    """Calls its tools, once; then says what came of it.

    `calls`: from the last task of a person, pairs of a tool's name and its arguments.
    """

    calls: Callable[[str], list[tuple[str, dict[str, Any]]]]

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        tasks = [message.text for message in messages if isinstance(message, HumanMessage)]
        results = [message for message in messages if isinstance(message, ToolMessage)]
        calls = self.calls(tasks[-1])
        if {name for name, _ in calls} & {result.name for result in results}:
            said = AIMessage("; ".join(result.text for result in results))
        else:
            said = AIMessage(
                "",
                tool_calls=[
                    {"name": name, "args": args, "id": f"call-{number}-{name}-{args}"}
                    for number, (name, args) in enumerate(calls)
                ],
            )
        return ChatResult(generations=[ChatGeneration(message=said)])


def mail_to_whom_is_named(task: str) -> list[tuple[str, dict[str, Any]]]:
    return [("send_mail", {"to": name}) for name in ("ann", "bob", "eve") if name in task]


def delegate_each(task: str) -> list[tuple[str, dict[str, Any]]]:
    return [
        ("task", {"description": f"Write to {name}", "subagent_type": "courier"})
        for name in ("ann", "bob", "eve")
    ]


deep = create_deep_agent(
    model=Scripted(calls=delegate_each),
    tools=[],
    subagents=[
        {
            "name": "courier",
            "description": "Sends mails",
            "system_prompt": "Send it.",
            "tools": [send_mail],
            "model": Scripted(calls=mail_to_whom_is_named),
            "interrupt_on": {"send_mail": True},
        }
    ],
)


def build_courier(name: str) -> Any:
    return create_agent(
        Scripted(calls=lambda _: mail_to_whom_is_named("ann, bob")),
        [send_mail],
        middleware=[HumanInTheLoopMiddleware({"send_mail": True})],
        name=name,
    )


supervised = create_supervisor(
    [build_courier("courier")],
    model=Scripted(calls=lambda _: [("transfer_to_courier", {})]),
).compile()

swarm = create_swarm(
    [
        create_agent(
            Scripted(calls=lambda _: [("transfer_to_courier", {})]),
            [create_handoff_tool(agent_name="courier")],
            name="clerk",
        ),
        build_courier("courier"),
    ],
    default_active_agent="clerk",
).compile()


def plug_in(name: str, graph: Any) -> dict[str, Any]:
    return {
        "capabilityId": name,
        "displayName": name,
        "inputFacets": ["objective"],
        "outputFacets": [f"{name}_said"],
        "facets": {f"{name}_said": {"type": "string"}},
        "run": graph,
    }


agents = [plug_in("deep", deep), plug_in("supervised", supervised), plug_in("swarm", swarm)]
