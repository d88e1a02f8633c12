"""A graph is plugged in as it is, by its file or by the name that a `langgraph.json` gives it."""

import json
import os
from pathlib import Path

import pytest

from hitl_orchestrator.domain.records import JsonObject
from hitl_orchestrator.nodes.agents import Agent
from hitl_orchestrator.testing import ask_agent_async
from tests.plugging.folders import load, refuse, write

HEAD = """
from typing import Annotated, TypedDict
from langchain_core.messages import AIMessage
from langgraph.func import entrypoint
from langgraph.graph import END, START, MessagesState, StateGraph

def chain(schema, node, **kinds):
    return StateGraph(schema, **kinds).add_node("act", node).add_edge(START, "act")
"""
CHAT = """
graph = chain(MessagesState, lambda s: {"messages": [AIMessage(s["messages"][-1].text.upper())]})
"""


def describe(agent: Agent) -> JsonObject:
    capability = agent.capability
    return {
        "id": capability.capabilityId,
        "name": capability.displayName,
        "takes": [*capability.inputFacets],
        "makes": [*capability.outputFacets],
    }


async def finish(agent: Agent) -> JsonObject:
    return (await ask_agent_async(agent, "Write to Ann")).facets


def write_manifest(folder: Path, **changes: object) -> str:
    """Return the path of one, with these graphs and keys."""
    file = folder / "langgraph.json"
    file.write_text(json.dumps({"dependencies": ["."], **changes}))
    return str(file)


@pytest.mark.parametrize(
    ("body", "name", "makes"),
    [
        (CHAT, "graph", "WRITE TO ANN"),
        (CHAT + "graph = graph.compile()", "graph", "WRITE TO ANN"),
        (CHAT + "graph = graph.compile(name='Letter desk')", "Letter_desk", "WRITE TO ANN"),
        (
            "class State(TypedDict):\n    objective: str\n    graph: str\n"
            "graph = chain(State, lambda s: {'graph': s['objective'][:5]})",
            "graph",
            "Write",
        ),
        (
            "class State(TypedDict, total=False):\n    topic: str\n    draft: str\n    words: int\n"
            "graph = chain(State, lambda s: {'draft': s['topic'] + '!', 'words': 3})",
            "graph",
            {"topic": "Write to Ann", "draft": "Write to Ann!", "words": 3},
        ),
        (
            "class In(TypedDict):\n    wish: str\n    often: int\n"
            "class Out(TypedDict):\n    fine: bool\n"
            "class State(In, Out): ...\n"
            "graph = chain(State, lambda s: {'fine': s['wish'] == 'Write to Ann'},"
            " input_schema=In, output_schema=Out)",
            "graph",
            {"fine": True},
        ),
        (
            "class State(MessagesState):\n    done: bool\n"
            "graph = chain(State, lambda s: {'messages': [], 'done': True},"
            " output_schema=TypedDict('Out', {'done': bool}))"
            ".add_node('stop', lambda s: {'messages': [AIMessage('')]}).add_edge('act', 'stop')",
            "graph",
            {"done": True},
        ),
        ("@entrypoint()\ndef graph(text: str): return text + '?'", "graph", "Write to Ann?"),
        (
            "@entrypoint()\ndef graph(task): return {'said': task['objective']}",
            "graph",
            {"said": "Write to Ann"},
        ),
    ],
)
async def test_a_graph_takes_the_objective_and_makes_what_it_is_called(
    tmp_path: Path, body: str, name: str, makes: object
) -> None:
    write(tmp_path, flow=HEAD + body)
    [agent] = load(f"{tmp_path}/flow.py:graph")
    described = describe(agent)
    assert (described["id"], described["takes"], described["makes"]) == (
        name,
        ["objective"],
        [name],
    )
    assert await finish(agent) == {name: makes}


def test_a_graph_of_which_nothing_says_where_the_objective_goes_is_refused(tmp_path: Path) -> None:
    body = "class State(TypedDict):\n    a: str\n    b: str\ngraph = chain(State, lambda s: {})"
    write(tmp_path, flow=HEAD + body)
    reason = refuse(lambda: load(f"{tmp_path}/flow.py:graph"))
    assert "flow.py:graph: nothing says which of a, b is given the objective" in reason
    assert '"input": lambda task: {…: task["objective"]}' in reason


async def test_a_graph_that_takes_no_text_takes_facets_that_are_called_as_its_channels(
    tmp_path: Path,
) -> None:
    body = (
        "from typing import NotRequired\n"
        "class In(TypedDict):\n    mail: dict\n    rerun: NotRequired[bool]\n"
        "class State(In):\n    answer: dict\n"
        "graph = chain(State, lambda s: {'answer': {**s['mail'], **s}}, input_schema=In)"
    )
    write(tmp_path, flow=HEAD + body)
    [agent] = load(f"{tmp_path}/flow.py:graph")
    capability = agent.capability
    assert (capability.inputFacets, capability.optionalInputFacets) == (("mail",), ("rerun",))
    asked = await ask_agent_async(agent, facets={"mail": {"to": "ann"}, "other": 1})
    made = asked.facets["graph"]
    assert made["answer"] == {"to": "ann", "mail": {"to": "ann"}}


def test_in_a_list_a_graph_needs_a_name(tmp_path: Path) -> None:
    write(
        tmp_path,
        flow=HEAD + CHAT + "named = [graph.compile(name='a'), graph.compile(name='b')]\n"
        "nameless = [graph]",
    )
    assert [one.capability.capabilityId for one in load(f"{tmp_path}/flow.py:named")] == ["a", "b"]
    assert "needs a name" in refuse(lambda: load(f"{tmp_path}/flow.py:nameless"))


# langgraph.json


async def test_a_graph_is_found_by_the_name_that_a_manifest_gives_it(tmp_path: Path) -> None:
    write(tmp_path, **{"src/flow": HEAD + CHAT})
    graphs = {"mail-clerk": "./src/flow.py:graph", "other": {"path": "./src/flow.py:graph"}}
    manifest = write_manifest(tmp_path, graphs=graphs)
    [clerk, other] = load(f"{manifest}:mail-clerk", f"{manifest}:other")
    assert describe(clerk)["id"] == "mail-clerk"
    assert await finish(other) == {"other": "WRITE TO ANN"}


@pytest.mark.parametrize(
    "imports",
    [
        "from agent.state import WORD",  # as it is installed
        "from .state import WORD",
        "from app.agent.state import WORD",  # as it is run from the repository
        "from state import WORD",  # as it is run from its own folder
        "from shared.words import WORD",  # beside the package
    ],
)
@pytest.mark.parametrize("by_manifest", [True, False])
async def test_what_a_file_of_a_package_imports_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, imports: str, by_manifest: bool
) -> None:
    body = HEAD + imports + "\n@entrypoint()\ndef graph(text: str): return WORD"
    word = "WORD = 'found'"
    modules = {"app/agent/flow": body, "app/agent/state": word, "app/shared/words": word}
    write(tmp_path, **modules, **{"app/agent/__init__": ""})
    manifest = write_manifest(tmp_path, graphs={"graph": "./app/agent/flow.py:graph"})
    monkeypatch.chdir(tmp_path)
    [agent] = load(f"{manifest}:graph" if by_manifest else "app/agent/flow.py:graph")
    assert await finish(agent) == {"graph": "found"}


@pytest.mark.parametrize("by_manifest", [True, False])
async def test_a_file_may_be_called_as_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_manifest: bool
) -> None:
    body = HEAD + "from desk.state import WORD\n@entrypoint()\ndef graph(text: str): return WORD"
    modules = {"app/desk/__init__": "", "app/desk/desk": body, "app/desk/state": "WORD = 'found'"}
    write(tmp_path, **modules)
    manifest = write_manifest(tmp_path, graphs={"graph": "./app/desk/desk.py:graph"})
    monkeypatch.chdir(tmp_path)
    [agent] = load(f"{manifest}:graph" if by_manifest else "app/desk/desk.py:graph")
    assert await finish(agent) == {"graph": "found"}


async def test_in_a_manifest_a_graph_is_called_as_it_is_there(tmp_path: Path) -> None:
    write(tmp_path, flow=HEAD + CHAT + "graph = graph.compile(name='Its own')")
    [agent] = load(write_manifest(tmp_path, graphs={"Deep desk": "./flow.py:graph"}) + ":Deep desk")
    described = describe(agent)
    assert (described["id"], described["name"]) == ("Deep_desk", "Deep desk")


@pytest.mark.parametrize("made_by", ["def make():", "def make(config):"])
async def test_a_function_that_makes_a_graph_is_called(tmp_path: Path, made_by: str) -> None:
    write(tmp_path, flow=HEAD + CHAT + f"{made_by}\n    return graph.compile()")
    manifest = write_manifest(tmp_path, graphs={"clerk": "./flow.py:make"})
    [agent] = load(f"{manifest}:clerk")
    assert await finish(agent) == {"clerk": "WRITE TO ANN"}


def test_the_environment_of_a_manifest_is_set_where_it_says_nothing_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("FLOW_KEY", "FLOW_URL"):
        monkeypatch.setenv(name, "kept")
    monkeypatch.delenv("FLOW_KEY")
    write(
        tmp_path, flow=HEAD + CHAT + "import os\nassert os.environ['FLOW_KEY'] == 'from the file'"
    )
    (tmp_path / ".env").write_text("FLOW_KEY='from the file'\nFLOW_URL=other\n")
    load(write_manifest(tmp_path, graphs={"a": "./flow.py:graph"}, env=".env") + ":a")
    assert os.environ["FLOW_URL"] == "kept"


@pytest.mark.parametrize(
    ("graphs", "says"),
    [
        ({}, "ValueError: it names no `graphs`"),
        ({"a": "./flow.py:graph"}, "ValueError: it has no graph b; there are a"),
        ({"b": "./flow.ts:graph"}, "ValueError: its graph b is not Python"),
        ({"b": "./flow.py"}, "ValueError: its graph b is no `path/to/file.py:name`"),
        ({"b": 3}, "ValueError: its graph b is no `path/to/file.py:name`"),
        ({"b": "./none.py:graph"}, "FileNotFoundError: there is no file"),
        ({"b": "./flow.py:none"}, "has no attribute 'none'"),
        ({"b": "./flow.py:late"}, "TypeError: it is made by an async function"),
        ({"b": "./flow.py:much"}, "TypeError: it is made by a function of more than a config"),
        ({"b": "./flow.py:nothing"}, "TypeError: its function returned NoneType, not a graph"),
    ],
)
def test_what_a_manifest_does_not_say_stops_the_start(
    tmp_path: Path, graphs: JsonObject, says: str
) -> None:
    makers = "async def late(): ...\ndef much(a, b): ...\ndef nothing(): ..."
    write(tmp_path, flow=HEAD + CHAT + makers)
    reason = refuse(lambda: load(write_manifest(tmp_path, graphs=graphs) + ":b"))
    assert "langgraph.json:b cannot be loaded" in reason
    assert says in reason
