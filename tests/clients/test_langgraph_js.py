"""LangGraph's SDK for JavaScript and `useStream`, as pages use them."""

from collections.abc import Generator
from typing import Any

import pytest

from tests.clients.npm import Program, program
from tests.clients.queue import SEND, TEXT, Queue, asking
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
    shown = page.ask(what="show", url=queue.url, key=API_KEY, graph=graph, thread=thread)
    (action,) = shown["value"]["action_requests"]
    assert action["description"].startswith("What now?")
    edited = {"name": action["name"], "args": {"answer": "go on"}}
    edit = {"decisions": [{"type": "edit", "edited_action": edited}]}
    result = page.ask(what="respond", value=edit)["value"]
    page.ask(what="close")
    assert result["outputs"]["answer"]["freeformText"] == "go on"
