"""create_agent with HumanInTheLoopMiddleware in both interrupt modes, and a model that always calls
the same two tools at once.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from langchain.agents import AgentState, create_agent  # pyright: ignore[reportUnknownVariableType]
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain.agents.middleware.human_in_the_loop import InterruptOnConfig
from langchain.tools import ToolRuntime
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool, tool


class State(AgentState[Any], total=False):
    facets: dict[str, Any]


def note(state: Any, line: str) -> None:
    if log := state.get("facets", {}).get("log"):
        with Path(log).open("a") as lines:
            lines.write(line + "\n")


@tool
def send_mail(to: str, subject: str, runtime: ToolRuntime[Any, Any]) -> str:
    """Send a mail."""
    note(runtime.state, f"mail {to}: {subject}")
    return f"sent to {to}"


@tool
def delete_file(path: str, runtime: ToolRuntime[Any, Any]) -> str:
    """Delete a file."""
    note(runtime.state, f"delete {path}")
    return f"deleted {path}"


class Scripted(BaseChatModel):
    """Calls both tools, then says what came of it."""

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | None = None,
        **kwargs: Any,
    ) -> Runnable[Any, AIMessage]:
        return self

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        results = [str(message.text) for message in messages if isinstance(message, ToolMessage)]
        calls = [
            {
                "name": "send_mail",
                "args": {"to": "ann@example.org", "subject": "Hello"},
                "id": "call-1",
            },
            {"name": "delete_file", "args": {"path": "old.txt"}, "id": "call-2"},
        ]
        message = AIMessage("\n".join(results)) if results else AIMessage("", tool_calls=calls)
        return ChatResult(generations=[ChatGeneration(message=message)])


def mapping(capability: str, middleware: HumanInTheLoopMiddleware[Any, Any, Any]) -> dict[str, Any]:
    return {
        "capabilityId": capability,
        "displayName": "Clerk",
        "inputFacets": ["objective"],
        "optionalInputFacets": ["log"],
        "outputFacets": ["minutes"],
        "facets": {"minutes": {"type": "string"}},
        "run": create_agent(
            Scripted(), [send_mail, delete_file], middleware=[middleware], state_schema=State
        ),
    }


every: dict[str, bool | InterruptOnConfig] = {"send_mail": True, "delete_file": True}
unrefusable: dict[str, bool | InterruptOnConfig] = {
    "send_mail": InterruptOnConfig(allowed_decisions=["approve", "edit"])
}

agent = mapping("clerk.batched", HumanInTheLoopMiddleware(every))
per_call = mapping("clerk.per_call", HumanInTheLoopMiddleware(every, interrupt_mode="per_call"))
stubborn = mapping("clerk.stubborn", HumanInTheLoopMiddleware(unrefusable))
stubborn_per_call = mapping(
    "clerk.stubborn_per_call", HumanInTheLoopMiddleware(unrefusable, interrupt_mode="per_call")
)
