"""What is kept of what agents say, and how it is told."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from langgraph.config import get_stream_writer
from langgraph.func import entrypoint, task

from hitl_orchestrator.domain.errors import ConfigurationError
from hitl_orchestrator.domain.records import Json
from hitl_orchestrator.nodes.agents import read_agent
from hitl_orchestrator.nodes.lines import (
    MAX_LINE,
    MAX_TEXT,
    RUNTIME,
    STREAM,
    Lines,
    find_lines,
    giving_writer,
    hearing,
    write_line,
)
from tests.steps import Step, agent, returns


def tell(lines: Lines) -> list[tuple[str, dict[str, Json]]]:
    return [(event.message, event.data) for event in lines.take()]


async def test_of_each_step_the_newest_is_told_once() -> None:
    lines = Lines()
    for number in range(3):
        lines.say("s1", "reader", f"page {number}")
    lines.say("s2", "writer", {"status": "begun"})
    assert lines.came.is_set()
    assert tell(lines) == [
        ("page 2", {"from": "reader", "stepId": "s1", "progress": "page 2"}),
        ("begun", {"from": "writer", "stepId": "s2", "progress": {"status": "begun"}}),
    ]
    assert (tell(lines), lines.came.is_set()) == ([], False)


async def test_tokens_are_gathered_and_shown_as_the_line_that_they_end() -> None:
    lines = Lines()
    for token in ("Dear ", "Ann,\n", "", "small "):
        lines.add_tokens("s1", "writer", token)
    about = {"from": "writer", "stepId": "s1"}
    assert tell(lines) == [("small", {**about, "tokens": "Dear Ann,\nsmall "})]
    lines.add_tokens("s1", "writer", "steps")
    assert tell(lines) == [("small steps", {**about, "tokens": "steps"})]
    lines.add_tokens("s1", "writer", " count")
    lines.say("s1", "writer", "half")
    assert tell(lines) == [("half", {**about, "tokens": " count", "progress": "half"})]


async def test_of_too_many_tokens_the_end_is_told() -> None:
    lines = Lines()
    for letter in ("a", "b"):
        lines.add_tokens("s1", "writer", letter * MAX_TEXT)
    assert tell(lines)[0][1]["tokens"] == "b" * MAX_TEXT


@pytest.mark.parametrize("value", [object(), "\0", "\ud800", float("nan"), {1: {2: object()}}])
async def test_what_is_no_json_is_left_out(value: object) -> None:
    lines = Lines()
    lines.say("s1", "reader", value)
    assert tell(lines) == []


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("one\n two \n\n", "two"),
        ("x" * 999, "x" * MAX_LINE),
        ("", ""),
        ({"status": "busy", "message": "Reads"}, "Reads"),
        ({"message": {"text": "no"}, "text": " ", "status": "busy"}, "busy"),
        ({"done": 0.5}, '{"done":0.5}'),
        ([1, None], "[1,null]"),
        (None, "null"),
    ],
)
def test_a_line_is_what_a_person_reads(value: Json, line: str) -> None:
    assert write_line(value) == line


async def test_nobody_listens_but_where_a_run_is_driven() -> None:
    assert find_lines() is None
    with hearing(lines := Lines()):
        assert find_lines() is lines
    assert find_lines() is None


@pytest.mark.parametrize(
    ("given", "modes"),
    [
        (["custom"], ("custom",)),
        (["tokens", "custom"], ("custom", "messages")),
        ("tokens", ("messages",)),
        ([], ()),
    ],
)
def test_a_mapping_says_what_is_streamed(given: Any, modes: tuple[str, ...]) -> None:
    assert agent(returns({}), stream=given).stream == modes
    assert agent(returns({})).stream == ("custom",)


@pytest.mark.parametrize(
    "given", [["values"], None, [["custom"]], {"custom": True}, ["custom"] * 2]
)
def test_a_stream_that_is_none_stops_the_start(given: Any) -> None:
    mapping = {"capabilityId": "a", "displayName": "A", "outputFacets": ["b"], "run": returns({})}
    with pytest.raises(ConfigurationError, match="`stream` must be a list of custom, tokens"):
        read_agent({**mapping, "stream": given}, "here")


async def test_a_line_is_heard_from_any_thread_until_the_visit_has_ended() -> None:
    lines = Lines()
    with giving_writer({}, None, lines, ("s1", "teller")) as config:
        ours = config.get("configurable", {})
        write = ours[RUNTIME].stream_writer
        await asyncio.to_thread(write, "in time")
        await asyncio.sleep(0)
        assert [event.data["progress"] for event in lines.take()] == ["in time"]
        ours[STREAM](((), "custom", "from a graph elsewhere"))
        await asyncio.sleep(0)
        assert [event.data["progress"] for event in lines.take()] == ["from a graph elsewhere"]
    write("too late")
    await asyncio.sleep(0)
    assert lines.take() == []


async def test_a_task_of_a_function_is_heard(tmp_path: Path) -> None:
    @task
    async def say(what: str) -> str:
        get_stream_writer()(what)
        return what

    @entrypoint()
    async def run(given: dict[str, Any]) -> dict[str, Any]:
        return {"answer": await say("from a task")}

    lines = Lines()
    with hearing(lines):
        await Step(agent(run), tmp_path / "log").visit()
    assert [event.data["progress"] for event in lines.take()] == ["from a task"]
