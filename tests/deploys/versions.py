"""An agent in several versions, as a deploy brings them: each the same file in another folder."""

from pathlib import Path

GRAPH = """
import os
from typing import Any

from langgraph.graph import START, StateGraph
from langgraph.types import interrupt
from pydantic import BaseModel
from typing_extensions import TypedDict


class Person(BaseModel):
    name: strFIELDS


class State(TypedDict, total=False):
    objective: str
    letter: str
    to: Person


def write(state: State) -> State:
    return {"letter": "a draft", "to": Person(name="Ann"MORE)}


def ask(state: State) -> State:
    answer = interrupt({"question": "Send it?", "kind": "approval"})
    if not answer.get("approved"):
        return {"letter": "not sent"}
    with open(os.environ["HITL_TEST_LOG"], "a") as log:
        log.write("sent\\n")
    return {"letter": "sent"}


def finish(state: State) -> State:
    return {}


graph = StateGraph(State)
graph.add_sequence(NODES)
graph.add_edge(START, "write")
letters = {
    "capabilityId": "letters",
    "displayName": "Letters",
    "inputFacets": ["objective"],
    "outputFacets": ["letter"],
    "run": graph.compile(),
}
"""
MIDDLEWARE = '''
import os
from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool


@tool
def send(to: str) -> str:
    """Send the letter."""
    with open(os.environ["HITL_TEST_LOG"], "a") as log:
        log.write("sent\\n")
    return "sent"


class Scripted(BaseChatModel):
    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Any, **more: Any) -> Any:
        return self

    def _generate(self, messages: Any, *rest: Any, **more: Any) -> Any:
        said = [message for message in messages if isinstance(message, ToolMessage)]
        call = {"name": "send", "args": {"to": "ann"}, "id": "1", "type": "tool_call"}
        text = "sent" if said and said[-1].content == "sent" else "not sent"
        message = AIMessage(text) if said else AIMessage("a draft", tool_calls=[call])
        return ChatResult(generations=[ChatGeneration(message=message)])


class NAME(HumanInTheLoopMiddleware):
    pass


letters = {
    "capabilityId": "letters",
    "displayName": "Letters",
    "inputFacets": ["objective"],
    "outputFacets": ["letter"],
    "facets": {"letter": {"type": "string"}},
    "run": create_agent(Scripted(), [send], middleware=[NAME(interrupt_on={"send": True})]),
}
'''
OTHER = """
def run(task):
    return {"other": "done"}


other = {
    "capabilityId": "other",
    "displayName": "Other",
    "outputFacets": ["other"],
    "run": run,
}
"""


def _graph(*nodes: str, fields: str = "", more: str = "") -> str:
    """Return the file with these nodes, and with further fields of the class in its state."""
    text = GRAPH.replace("NODES", f"[{', '.join(nodes)}]")
    return text.replace("FIELDS", fields).replace("MORE", more)


WRITE, ASK, FINISH = '("write", write)', '("ask", ask)', '("finish", finish)'
FIRST = _graph(WRITE, ASK, FINISH)
VERSIONS: dict[str, str] = {
    "first": FIRST,
    "question renamed": _graph(WRITE, '("ask_first", ask)', FINISH),
    "question removed": _graph(WRITE, FINISH),
    "another node renamed": _graph(WRITE, ASK, '("end", finish)'),
    "middleware": MIDDLEWARE.replace("NAME", "Gate"),
    "middleware renamed": MIDDLEWARE.replace("NAME", "Approvals"),
    "another agent": OTHER,
    "field added": _graph(WRITE, ASK, FINISH, fields="\n    mail: str = ''"),
    "field needed": _graph(WRITE, ASK, FINISH, fields="\n    mail: str", more=", mail='a@b'"),
    "file renamed": FIRST,
}


def write_version(folder: Path, version: str) -> str:
    """Write it down; return its entry of HITL_AGENTS."""
    place = folder / version.replace(" ", "_")
    place.mkdir(exist_ok=True)
    file = place / ("notes.py" if version == "file renamed" else "letters.py")
    file.write_text(VERSIONS[version])
    return f"{file}:{'other' if version == 'another agent' else 'letters'}"
