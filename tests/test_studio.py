"""The graph as tools that read langgraph.json see it: input, question, answer, result."""

import json
import pickle
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, interrupt

from hitl_orchestrator.domain.state import Delta
from hitl_orchestrator.graph.build import Graph
from hitl_orchestrator.nodes.agents import read_agent
from hitl_orchestrator.server.settings import load_settings
from hitl_orchestrator.server.studio import build_for_studio
from tests.repository import ROOT

REFUND = {"name": "refund", "arguments": {"order": 7, "euros": 15}}
CHOICE = {"kind": "choice", "options": [{"id": "dev", "label": "Developers"}]}
FORM = {"type": "object", "required": ["age"], "properties": {"age": {"type": "integer"}}}
THREAD: RunnableConfig = {"configurable": {"thread_id": "thread"}}


def asking(name: str, *payloads: Any) -> Any:
    """Return an agent that makes a facet of its name of what its questions return."""

    def run(task: Any) -> Any:
        return {name: [interrupt(payload) for payload in payloads]}

    described = {"capabilityId": f"test.{name}", "displayName": name, "outputFacets": [name]}
    return read_agent({**described, "run": run}, name)


def studio(*agents: Any) -> Graph:
    return build_for_studio(agents, load_settings(), InMemorySaver())


async def begin(graph: Graph, *outputs: str, **more: Any) -> Any:
    return await graph.ainvoke({"objective": "Ask", "outputs": [*outputs], **more}, THREAD)


async def resume(graph: Graph, said: Any) -> Any:
    return await graph.ainvoke(Command(resume=said), THREAD)


def shown(found: Any) -> list[Any]:
    return [each.value for each in found.get("__interrupt__", ())]


async def test_langgraph_json_names_a_graph_whose_input_a_person_knows(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)  # no .env of somebody's
    monkeypatch.delenv("HITL_AGENTS", raising=False)
    manifest = json.loads((ROOT / "langgraph.json").read_text())
    path, _, name = manifest["graphs"]["orchestrator"].partition(":")
    module = Path(path).with_suffix("").as_posix().removeprefix("src/").replace("/", ".")
    factory = getattr(import_module(module), name)
    graph: Graph = await factory()
    taken = graph.get_input_jsonschema()
    assert taken["required"] == ["objective"]
    assert [*taken["properties"]] == ["objective", "inputs", "outputs"]
    assert all(each["description"] for each in taken["properties"].values())
    assert [*graph.get_output_jsonschema()["properties"]] == ["result", "error"]
    assert await factory() is graph, "what is called again for the answer is the graph that waits"


@pytest.mark.parametrize(
    ("asked", "said", "returned"),
    [
        ({"kind": "approval", "action": REFUND}, {"approved": True}, {"approved": True}),
        (
            {"kind": "approval", "action": REFUND},
            {"approved": True, "editedArguments": {"order": 7, "euros": 9}},
            {"editedArguments": {"order": 7, "euros": 9}},
        ),
        (
            {"kind": "approval", "action": REFUND},
            {"approved": False, "freeformText": "too much"},
            {"status": "denied", "reason": "too much"},
        ),
        (CHOICE, {"selectedOptionId": "dev"}, {"selectedOptionId": "dev"}),
        ({"kind": "freeform"}, {"freeformText": "blue"}, {"freeformText": "blue"}),
        ({"kind": "form", "responseSchema": FORM}, {"data": {"age": 3}}, {"data": {"age": 3}}),
    ],
)
async def test_an_answer_in_our_words_reaches_the_agent(
    asked: dict[str, Any], said: Any, returned: dict[str, Any]
) -> None:
    graph = studio(asking("said", {"question": "Sure?", **asked}))
    (question,) = shown(await begin(graph))
    assert question.items() >= {"question": "Sure?", "kind": asked["kind"]}.items()
    assert said.keys() in [example.keys() for example in question["answerWith"]]
    found = await resume(graph, said)
    (got,) = found["result"]["outputs"]["said"]
    assert got.items() >= returned.items()


@pytest.mark.parametrize("said", [True, "later", {"count": 3}])
async def test_an_open_question_is_answered_raw(said: Any) -> None:
    graph = studio(asking("said", {"draft": "Dear all"}))
    (question,) = shown(await begin(graph))
    assert question["payload"] == {"draft": "Dear all"}
    assert (await resume(graph, said))["result"]["outputs"] == {"said": [said]}


@pytest.mark.parametrize(
    "said", [{"aproved": True}, {"approved": "yes"}, {"decisions": [{"type": "approve"}]}, "", []]
)
async def test_what_does_not_fit_is_said_and_asked_again(said: Any) -> None:
    graph = studio(asking("said", {"question": "Sure?", "kind": "approval", "action": REFUND}))
    await begin(graph)
    (again,) = shown(await resume(graph, said))
    assert again["question"] == "Sure?"
    assert again["refused"]
    found = await resume(graph, {"approved": False})
    assert found["result"]["outputs"]["said"][0]["status"] == "denied"


async def test_two_agents_that_ask_at_once_are_answered_by_interrupt() -> None:
    graph = studio(asking("one", "One?"), asking("two", "Two?"))
    found = await begin(graph, "one", "two")
    with pytest.raises(RuntimeError, match="interrupt id"):
        await resume(graph, True)
    said = {each.id: each.value["question"].lower() for each in found["__interrupt__"]}
    ended = await resume(graph, said)
    assert ended["result"]["outputs"] == {"one": ["one?"], "two": ["two?"]}


async def test_an_answer_that_comes_twice_answers_one_question() -> None:
    allowed = ["approve", "reject"]
    both: dict[str, Any] = {
        "action_requests": [{"name": "mail", "args": {}}, {"name": "wipe", "args": {}}],
        "review_configs": [
            {"action_name": "mail", "allowed_decisions": allowed},
            {"action_name": "wipe", "allowed_decisions": allowed},
        ],
    }
    graph = studio(asking("said", both))
    (asked,) = shown(await begin(graph))
    mail, wipe = (each["requestId"] for each in asked["questions"])
    for said in ({mail: {"approved": True}}, {mail: {"approved": True}}, {"approved": True}, True):
        (asked,) = shown(await resume(graph, said))
        assert [each["requestId"] for each in asked["questions"]] == [wipe]
    assert asked["refused"]
    ended = await resume(graph, {wipe: {"approved": False}})
    (said,) = ended["result"]["outputs"]["said"]
    assert [each["type"] for each in said["decisions"]] == ["approve", "reject"]


async def test_a_thread_takes_another_input_and_nothing_of_the_one_before() -> None:
    graph = studio(asking("one"), asking("two"))
    first = await begin(graph, "one", inputs={"two": "given"})
    assert first["result"]["outputs"] == {"one": []}
    second = await graph.ainvoke({"objective": "Again", "outputs": ["two"]}, THREAD)
    assert second["result"]["outputs"] == {"two": []}


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"objective": 3}, "`objective` of the input"),
        ({"outputs": ["said"]}, "`objective` of the input"),
        ({"objective": "Ask", "outputs": ["gold"]}, "Nobody makes gold"),
        ({"objective": "Ask", "inputs": ["source"]}, "`inputs` of the input"),
    ],
)
async def test_an_input_that_cannot_be_done_ends_in_words(given: Any, why: str) -> None:
    """The tools hide what is raised. The thread takes the next input all the same."""
    graph = studio(asking("said"))
    refused = await graph.ainvoke(given, THREAD)
    assert refused["result"] is None
    assert why in refused["error"]
    assert (await begin(graph))["result"]["outputs"] == {"said": []}


def test_what_the_tools_pickle_can_be_read_back() -> None:
    written = Delta().write()
    assert type(pickle.loads(pickle.dumps(written))) is bytes  # noqa: S301
