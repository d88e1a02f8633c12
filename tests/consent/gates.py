"""One gate a dialect: an agent that asks before it acts, and acts by its own reading of the answer.

Each writes what `interrupt()` returned, and `acted` when it acted, into the file that it is given.
None knows of this project.
"""

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NotRequired

import anyio
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.messages import ToolMessage
from langgraph.errors import NodeInterrupt  # pyright: ignore[reportDeprecated]
from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt
from pydantic import BaseModel
from pydantic_core import to_jsonable_python
from typing_extensions import TypedDict

from tests.agents.tool_agent import mapping as tool_agent

PAYMENT = {"payee": "ACME", "amount": 4200}


class State(TypedDict):
    facets: dict[str, Any]
    approved: NotRequired[bool]


class Payment(BaseModel):
    question: str = "Pay?"
    payee: str = "ACME"


class Consent(BaseModel):
    pay: bool


def note(state: State, line: str) -> None:
    with Path(state["facets"]["log"]).open("a") as lines:
        lines.write(line + "\n")


def heard(state: State, answer: Any) -> None:
    note(state, json.dumps(to_jsonable_python(answer)))


def acts(state: State) -> dict[str, Any]:
    note(state, "acted")
    return {}


def route(state: State) -> str:
    return "act" if state.get("approved") else END


def gate(
    name: str, consents: Callable[[], Any], agrees: Callable[[Any], bool] = bool, **mapping: Any
) -> dict[str, Any]:
    """Ask in one node; act in the next, where the answer is consent by the agent's own reading."""

    async def ask(state: State) -> dict[str, Any]:
        asked = consents()
        answer = await asked if inspect.isawaitable(asked) else asked
        heard(state, answer)
        return {"approved": agrees(answer)}

    graph = StateGraph(State)
    graph.add_node(ask)
    graph.add_node("act", acts)
    graph.add_edge(START, "ask")
    graph.add_conditional_edges("ask", route, ["act", END])
    return plug_in(name, graph.compile(), **mapping)


def plug_in(name: str, graph: Any, **mapping: Any) -> dict[str, Any]:
    def report_done(_: Any) -> dict[str, bool]:
        return {f"{name}_done": True}

    return {
        "capabilityId": name,
        "displayName": "Payer",
        "inputFacets": ["log"],
        "outputFacets": [f"{name}_done"],
        "output": report_done,
        "run": graph,
        **mapping,
    }


async def ask_in_a_task_group() -> Any:
    async with anyio.create_task_group():
        return interrupt({"question": "Pay?", **PAYMENT})


def at_a_breakpoint() -> dict[str, Any]:
    graph = StateGraph(State)
    graph.add_node("act", acts)
    graph.add_edge(START, "act")
    return plug_in("breakpoint", graph.compile(interrupt_before=["act"]))


def by_node_interrupt() -> dict[str, Any]:
    raised: set[str] = set()

    def act(state: State) -> dict[str, Any]:
        log = state["facets"]["log"]
        if log not in raised:
            raised.add(log)
            raise NodeInterrupt("More than 4000 to ACME")  # pyright: ignore[reportDeprecated]
        return acts(state)

    graph = StateGraph(State)
    graph.add_node(act)
    graph.add_edge(START, "act")
    return plug_in("node_interrupt", graph.compile())


def by_middleware(name: str, **options: Any) -> dict[str, Any]:
    """LangChain's own, around a tool that sends a mail. What the model heard is its output."""
    asks = HumanInTheLoopMiddleware({"send_mail": True}, **options)

    def find_results(state: dict[str, Any]) -> dict[str, Any]:
        results = [each for each in state["messages"] if isinstance(each, ToolMessage)]
        return {f"{name}_done": [each.text for each in results if each.name == "send_mail"]}

    made = tool_agent(name, asks)
    return plug_in(name, made["run"], output=find_results)


def say_yes_or_no(value: Any, answer: Any) -> str:
    return "yes" if answer.get("approved") else "no"


def say_refused(reason: str) -> Any:
    return {"refused": reason}


def ask_ours() -> Any:
    return interrupt({"question": "Pay?", "kind": "approval", **PAYMENT})


def ask_inbox() -> Any:
    asked = {
        "action_request": {"action": "pay", "args": PAYMENT},
        "config": {
            "allow_accept": True,
            "allow_edit": True,
            "allow_ignore": True,
            "allow_respond": False,
        },
    }
    return interrupt([asked])


ours = gate("ours", ask_ours, lambda answer: answer["approved"])
langchain = by_middleware("langchain")
per_call = by_middleware("per_call", interrupt_mode="per_call")
inbox = gate("inbox", ask_inbox, lambda answer: answer[0]["type"] == "accept")
form = gate(
    "form",
    lambda: interrupt({"question": "Pay?", **PAYMENT}, response_schema=Consent),
    lambda answer: answer.pay,
)
mapping = gate("mapping", lambda: interrupt({"question": "Pay?", "details": PAYMENT}))
text = gate("text", lambda: interrupt("Pay 4200 to ACME?"))
listing = gate("listing", lambda: interrupt([PAYMENT, PAYMENT]))
typed = gate("typed", lambda: interrupt(Payment()))
number = gate("number", lambda: interrupt(4200))
worded = gate(
    "worded",
    lambda: interrupt({"action": "pay", **PAYMENT}),
    lambda answer: answer == "yes",
    answer=say_yes_or_no,
)
refusable = gate(
    "refusable",
    lambda: interrupt({"message": "Pay?", **PAYMENT}),
    lambda answer: answer is True,
    denied=say_refused,
)
task_group = gate("task_group", ask_in_a_task_group)
breakpoint_ = at_a_breakpoint()
node_interrupt = by_node_interrupt()

agents = [
    ours,
    langchain,
    per_call,
    inbox,
    form,
    mapping,
    text,
    listing,
    typed,
    number,
    worded,
    refusable,
    task_group,
    breakpoint_,
    node_interrupt,
]
