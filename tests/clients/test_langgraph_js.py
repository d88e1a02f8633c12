"""LangGraph's SDK for JavaScript and `useStream`, as pages use them."""

from collections.abc import Generator
from typing import Any

import pytest

from tests.clients.npm import Program, program
from tests.clients.queue import SEND, TEXT, THREE, Queue, asking
from tests.processes import API_KEY

PACKAGES = (
    *("@langchain/langgraph-sdk@1.15.0", "@langchain/react@1.1.0"),
    *("react@19.2.0", "react-dom@19.2.0", "happy-dom@20.0.0"),
)
APPROVE: dict[str, Any] = {"decisions": [{"type": "approve"}]}


@pytest.fixture(scope="module")
def page(queue: Queue) -> Generator[Program]:
    with program("langgraph.mjs", *PACKAGES) as running:
        running.ask(what="connect", url=queue.url, key=API_KEY)
        yield running


def test_a_question_is_found_answered_once_and_a_stale_click_decides_nothing(
    queue: Queue, page: Program
) -> None:
    run = queue.start(asking(SEND), metadata={"page": "js"})
    metadata = {"graph_id": "questions", "page": "js"}
    (found,) = page.ask(what="search", body={"metadata": metadata})["value"]
    (interrupt,) = [one for several in found["interrupts"].values() for one in several]
    assert interrupt["value"][0]["action_request"]["args"] == {"to": "all", "copies": 9}
    click = {"thread": found["thread_id"], "graph": "questions"}
    approve = {"command": {"resume": APPROVE}, "streamMode": ["values", "updates"]}
    parts = page.ask(what="stream", body=approve, **click)["value"]
    assert [part["event"] for part in parts][:1] == ["metadata"]
    assert all(part["id"] for part in parts)
    assert parts[-1]["event"] == "end"
    assert queue.run(run["runId"])["status"] == "completed"
    (refused,) = page.ask(what="stream", body=approve, **click)["value"]
    assert refused["event"] == "error"
    assert "not pending any more" in refused["data"]["message"]
    assert page.ask(what="create", body=approve, **click)["status"] == 409


@pytest.mark.parametrize("graph", ["questions", "orchestrator"])
def test_use_stream_shows_a_question_and_answers_it_by_its_id(
    queue: Queue, page: Program, graph: str
) -> None:
    run = queue.start(asking(TEXT))
    thread = run["pendingRequestId"] if graph == "questions" else run["threadId"]
    shown = show(queue, page, "new", graph, thread)
    (action,) = shown["value"]["action_requests"]
    assert action["description"].startswith("What now?")
    edited = {"name": action["name"], "args": {"answer": "go on"}}
    edit = {"decisions": [{"type": "edit", "edited_action": edited}]}
    result = page.ask(what="respond", value=edit)["value"]
    page.ask(what="close")
    assert result["outputs"]["answer"]["freeformText"] == "go on"


@pytest.mark.parametrize("graph", ["questions", "orchestrator"])
def test_the_old_use_stream_submits_an_answer(queue: Queue, page: Program, graph: str) -> None:
    show_to_old(queue, page, graph)
    came_to = page.ask(what="submit", resume=APPROVE)["value"]
    page.ask(what="close")
    assert came_to["result"]["outputs"]["answer"]["approved"] is True


@pytest.mark.parametrize("graph", ["questions", "orchestrator"])
def test_a_stale_answer_of_the_old_use_stream_decides_nothing(
    queue: Queue, page: Program, graph: str
) -> None:
    run = show_to_old(queue, page, graph)
    queue.answer(run, run["pendingRequestId"], approved=False)
    came_to = page.ask(what="submit", resume=APPROVE)["value"]
    page.ask(what="close")
    assert "not pending any more" in came_to["refusal"]
    (response,) = queue.request(run["pendingRequestId"])["responses"]
    assert response["approved"] is False


def test_of_several_questions_the_old_use_stream_has_to_say_which(
    queue: Queue, page: Program
) -> None:
    run = queue.start(THREE)
    show(queue, page, "old", "orchestrator", run["threadId"])
    came_to = page.ask(what="submit", resume={"decisions": [{"type": "respond", "message": "x"}]})
    page.ask(what="close")
    assert "say which" in came_to["value"]["refusal"]
    assert queue.run(run["runId"])["responses"] == []


def show_to_old(queue: Queue, page: Program, graph: str) -> dict[str, Any]:
    """Return the run whose question the page has shown."""
    run = queue.start(asking(SEND))
    thread = run["pendingRequestId"] if graph == "questions" else run["threadId"]
    (action,) = show(queue, page, "old", graph, thread)["value"]["action_requests"]
    assert action["args"] == {"to": "all", "copies": 9}
    return run


def show(queue: Queue, page: Program, hook: str, graph: str, thread: str) -> Any:
    return page.ask(what="show", hook=hook, url=queue.url, key=API_KEY, graph=graph, thread=thread)
