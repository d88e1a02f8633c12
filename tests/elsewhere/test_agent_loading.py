"""What is named on the command line of an agent in a process of its own, found or refused."""

import json
import os
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from hitl_agent.loading import CannotLoad, load_agents

AGENT = """
agent = {"capabilityId": NAME, "displayName": "An agent", "outputFacets": ["made"], "run": len}
"""
GRAPH = """
from langgraph.graph import START, MessagesState, StateGraph
graph = StateGraph(MessagesState).add_node("node", lambda state: {}).add_edge(START, "node")
def make(config):
    return graph.compile(name="made")
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Path]:
    """The working directory. What was imported is forgotten again."""
    monkeypatch.chdir(tmp_path)
    path, modules = [*sys.path], {*sys.modules}
    yield tmp_path
    sys.path[:] = path
    for name in {*sys.modules} - modules:
        del sys.modules[name]


def write(**files: str) -> None:
    """Write files, whose names have `__` for a slash, and `INIT` for `__init__`."""
    for name, text in files.items():
        path = Path(f"{name.replace('__', '/').replace('INIT', '__init__')}.py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def ids(*entries: str) -> list[str]:
    return [agent.id for agent in load_agents(entries)]


def test_what_lies_beside_a_file_and_above_it_is_importable() -> None:
    write(
        src__work__entry_a=f"from above_a import NAME{AGENT}",
        src__above_a="from beside_a import NAME",
    )
    write(src__work__beside_a="NAME = 'a.clerk'")
    assert ids("src/work/entry_a.py:agent") == ["a.clerk"]


def test_a_file_of_a_package_has_relative_imports() -> None:
    write(src__pack_b__inner__entry=f"from .names import NAME{AGENT}")
    write(src__pack_b__inner__names="from pack_b.name import NAME", src__pack_b__name="NAME = 'b'")
    assert ids("src/pack_b/inner/entry.py:agent") == ["b"]
    write(src__pack_c__INIT="", src__pack_c__entry=f"from .name import NAME{AGENT}")
    write(src__pack_c__name="NAME = 'c'")
    assert ids("src/pack_c/entry.py:agent") == ["c"]


def test_a_module_is_found_from_the_working_directory() -> None:
    write(pack_d__entry=f"NAME = 'd'{AGENT}")
    assert ids("pack_d.entry:agent") == ["d"]


def test_a_graph_bears_the_name_that_it_was_given() -> None:
    write(graph_e=GRAPH)
    Path("langgraph.json").write_text('{"graphs": {"mail_clerk": "./graph_e.py:make"}}')
    assert ids("langgraph.json:mail_clerk", "graph_e.py:graph", "graph_e.py:make") == [
        "mail_clerk",
        "graph",
        "made",
    ]


def test_a_manifest_has_an_environment_and_dependencies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_TEST_A", "kept")
    for name in "BCD":  # so that it is gone afterwards
        monkeypatch.setenv(f"AGENT_TEST_{name}", "")
        del os.environ[f"AGENT_TEST_{name}"]
    Path(".env").write_text(
        "# a comment\nAGENT_TEST_A=new\nexport AGENT_TEST_B='b # b'\n"
        "AGENT_TEST_C = c # c\n\nAGENT_TEST_D=\n"
    )
    write(lib__in_lib="from langgraph.graph import StateGraph", entry_f=f"import in_lib{GRAPH}")
    graphs = {"f": {"path": "./entry_f.py:graph"}}
    described = {"graphs": graphs, "env": ".env", "dependencies": ["./lib", "httpx"]}
    Path("langgraph.json").write_text(json.dumps(described))
    assert ids("langgraph.json:f") == ["f"]
    found = [os.environ[f"AGENT_TEST_{name}"] for name in "ABCD"]
    assert found == ["kept", "b # b", "c", ""]


def test_several_of_one_list() -> None:
    write(entry_g=f"NAME = 'g1'{AGENT}\nlisted = [agent, {{**agent, 'capabilityId': 'g2'}}]")
    assert ids("entry_g.py:listed") == ["g1", "g2"]


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("nothing", "none of path/graph.py:graph"),
        ("nowhere.py:agent", "there is no file nowhere.py"),
        ("entry_h.py:absent", "AttributeError"),
        ("entry_h.py:raises", "ValueError: out of luck in two lines"),
        ("entry_h.py:number", "no mapping that describes an agent, but of type int"),
        ("entry_h.py:empty", "an empty list"),
        ("entry_h.py:coroutine", "async function"),
        ("entry_h.py:exits", "SystemExit: 3"),
        ("json.py:agent", "rename json.py"),
        ("absent_module:agent", "ModuleNotFoundError"),
        ("langgraph.json:absent", "it has no graph absent; there are js, odd"),
        ("langgraph.json:js", "not Python"),
        ("langgraph.json:odd", "no `path/to/file.py:name`"),
        ("broken.json:graph", "JSONDecodeError"),
    ],
)
def test_what_cannot_be_loaded_is_told_in_one_line(entry: str, reason: str) -> None:
    write(
        entry_h="""
number, empty = 3, []
async def coroutine(): ...
def raises(): raise ValueError("out of luck\\nin two lines")
def exits(): raise SystemExit(3)
""",
        json="agent = {}",
    )
    Path("langgraph.json").write_text('{"graphs": {"js": "./agent.ts:graph", "odd": "graph"}}')
    Path("broken.json").write_text("{")
    with pytest.raises(CannotLoad) as caught:
        ids(entry)
    assert str(caught.value).startswith(f"{entry} cannot be loaded: ")
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_of_one_id_are_refused() -> None:
    write(entry_i=f"NAME = 'i'{AGENT}")
    with pytest.raises(CannotLoad, match="two agents have the capabilityId i"):
        ids("entry_i.py:agent", "entry_i.py:agent")


def test_modules_of_one_name_in_two_folders_are_refused() -> None:
    for folder in ("j", "k"):
        write(**{f"{folder}__entry_{folder}": f"from state_j import NAME{AGENT}"})
        write(**{f"{folder}__state_j": f"NAME = '{folder}'"})
    with pytest.raises(CannotLoad, match=r"`state_j` lies in .*run each agent in a process"):
        ids("j/entry_j.py:agent", "k/entry_k.py:agent")


def test_a_package_may_have_a_module_of_its_own_name() -> None:
    write(src__mail__INIT="", src__mail__mail="", src__mail__tools="NAME = 'mail.clerk'")
    write(src__mail__entry=f"from mail.tools import NAME{AGENT}")
    assert ids("src/mail/entry.py:agent") == ["mail.clerk"]
