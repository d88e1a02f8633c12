"""Agents that ask what nobody can be shown; most are clerks whose model calls two tools at once."""

from typing import Any

from langchain.agents import create_agent  # pyright: ignore[reportUnknownVariableType]
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain.agents.middleware.human_in_the_loop import InterruptOnConfig
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langgraph.types import interrupt

from tests.agents.tool_agent import Scripted, State, delete_file, every, send_mail

KIB = 1024


class Careless(Scripted):
    path: Any

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        results = [str(message.text) for message in messages if isinstance(message, ToolMessage)]
        mail = {"to": "ann@example.org", "subject": "Hello"}
        calls = [
            {"name": "send_mail", "args": mail, "id": "call-1"},
            {"name": "delete_file", "args": {"path": self.path}, "id": "call-2"},
        ]
        message = AIMessage("\n".join(results)) if results else AIMessage("", tool_calls=calls)
        return ChatResult(generations=[ChatGeneration(message=message)])


def clerk(name: str, path: Any, **options: Any) -> dict[str, Any]:
    asks: dict[str, bool | InterruptOnConfig] = {**every, **options.pop("asks", {})}
    middleware = HumanInTheLoopMiddleware[Any, Any, Any](asks, **options)
    return {
        "capabilityId": f"clerk.{name}",
        "displayName": "Clerk",
        "inputFacets": ["objective"],
        "optionalInputFacets": ["log"],
        "outputFacets": ["minutes"],
        "facets": {"minutes": {"type": "string"}},
        "run": create_agent(
            Careless(path=path), [send_mail, delete_file], middleware=[middleware],
            state_schema=State,
        ),
    }  # fmt: skip


nul = clerk("nul", "old\0.txt")
nan = clerk("nan", float("nan"))
large = clerk("large", "x" * 300 * KIB)
just_so = clerk("just_so", "x" * 200 * KIB)
per_call = clerk("per_call", "old\0.txt", interrupt_mode="per_call")
unrefusable = clerk(
    "unrefusable", "old\0.txt", asks={"delete_file": InterruptOnConfig(allowed_decisions=["edit"])}
)


async def ours(task: dict[str, Any]) -> dict[str, Any]:
    asked = {"question": "Send it?", "kind": "approval", "additionalContext": "a\0b"}
    return {"minutes": interrupt(asked)["reason"]}


async def open_question(task: dict[str, Any]) -> dict[str, Any]:
    return {"minutes": f"done: {interrupt({'message': 'Send it?', 'sum': float('nan')})}"}


def function(name: str, run: Any, **more: Any) -> dict[str, Any]:
    return {
        "capabilityId": f"clerk.{name}",
        "displayName": "Clerk",
        "inputFacets": ["objective"],
        "outputFacets": ["minutes"],
        "run": run,
        **more,
    }


def say_refused(reason: str) -> str:
    return f"refused, {reason}"


own = function("own", ours)
anything = function("anything", open_question)
worded = function("worded", open_question, denied=say_refused)
AGENTS = (
    "nul", "nan", "large", "just_so", "per_call", "unrefusable", "own", "anything",
    "worded",
)  # fmt: skip
