"""A changelog, and how a specialist of the desk is run on it: with real questions, in memory."""

from collections.abc import Sequence
from inspect import isawaitable
from pathlib import Path
from typing import Any, cast

from jsonschema import Draft202012Validator
from langchain_core.runnables import RunnableConfig
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint
from langgraph.types import Command

from hitl_orchestrator.desk import build_agents
from hitl_orchestrator.desk.agent import AgentMapping
from hitl_orchestrator.desk.reviewer import REVIEWER

Answer = dict[str, Any]
KEY = "sk-never-to-be-seen"

CHANGELOG = """
# Acme CLI changelog

All notable changes to this project will be documented in this file.

## [Unreleased]

- Work on a plugin index

## [2.4.0] - 2026-10-01

Acme CLI 2.4.0 makes large uploads fast and dependable. It is the first release \
that can pick up an upload where it stopped.

### Added

- **Parallel uploads.** `acme push` sends up to 8 files at once; 12,000 files took 40 % less time. \
([#412](https://github.com/acme/cli/pull/412))
- A dark theme for the terminal dashboard (#398, thanks @jo)
- `acme login --device` for machines without a browser

### Changed

- The configuration file moved to `~/.config/acme/config.toml`. See the [migration guide](https://docs.acme.example.com/migrate-2.4).

### Removed

- **Breaking:** Python 3.9 is no longer supported.

### Fixed

- A crash when a folder was deleted during an upload, closes #377
- Progress bars no longer flicker in tmux

### Security

- CVE-2026-1234: tokens are no longer written to the debug log

### Internal

- Moved CI to GitHub Actions

## [2.3.1] - 2026-08-11

### Fixed

- Uploads over slow lines no longer stop after an hour
"""


def desk(
    model: ChatOpenAI | None = None, out: Path = Path("never-written-to")
) -> dict[str, AgentMapping]:
    return {agent["capabilityId"].rpartition(".")[2]: agent for agent in build_agents(model, out)}


def task(
    facets: dict[str, Any],
    objective: str = "Announce the new release",
    context: Sequence[Any] = (),
    run_id: str = "run-1",
) -> dict[str, Any]:
    ids = {"runId": run_id, "threadId": "thread-1", "stepId": "step-1"}
    return {
        "objective": objective,
        "facets": {"objective": objective, **facets},
        "context": [*context],
        **ids,
    }


async def run(
    agent: AgentMapping, given: dict[str, Any], *answers: Answer
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What it made, every facet checked against its schema, and what it asked."""
    made, asked = await _run(agent, given, list(answers))
    assert not (left := answers[len(asked) :]), f"never asked for: {left}"
    for facet in agent["outputFacets"]:
        if facet in made:
            Draft202012Validator(agent["facets"][facet]).validate(made[facet])
    return made, asked


async def _run(
    agent: AgentMapping, given: dict[str, Any], answers: list[Answer]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    @entrypoint(checkpointer=InMemorySaver())
    async def visit(given: Any) -> Any:
        made = agent["run"](given)
        return await made if isawaitable(made) else made

    config: RunnableConfig = {"configurable": {"thread_id": "1"}}
    result = cast(Any, await visit.ainvoke(given, config, version="v2"))
    asked: list[dict[str, Any]] = []
    while result.interrupts:
        (question,) = result.interrupts
        asked.append(question.value)
        answer: Command[Any] = Command(resume={question.id: answers[len(asked) - 1]})
        result = cast(Any, await visit.ainvoke(answer, config, version="v2"))
    return cast(dict[str, Any], result.value), asked


def picked(option: str) -> Answer:
    return {"status": "answered", "responseType": "option", "selectedOptionId": option}


def said(text: str) -> Answer:
    return {"status": "answered", "responseType": "freeform", "freeformText": text}


def denied(reason: str) -> Answer:
    return {"status": "denied", "reason": reason}


def approved(**more: Any) -> Answer:
    return {"status": "answered", "responseType": "approval", "approved": True, **more}


def told(text: str) -> dict[str, Any]:
    """The context after a person answered the reviewer."""
    return {
        "requestId": "r",
        "stepId": "s",
        "originAgent": REVIEWER,
        "question": "What?",
        "status": "answered",
        "answer": said(text),
    }


def brief(**changes: Any) -> dict[str, Any]:
    """A brief on the changelog, as a person would write one."""
    return {
        "audience": "everyone",
        "product": "Acme CLI",
        "version": "2.4.0",
        "keyPoints": [],
        **changes,
    }


def drafts(**texts: str) -> dict[str, Any]:
    subjects = {"email": {"subject": "News"}}
    return {
        "posts": [
            {"channel": name, "text": text, **subjects.get(name, {})}
            for name, text in texts.items()
        ]
    }


def text_of(made: dict[str, Any], name: str) -> str:
    return next(post["text"] for post in made["drafts"]["posts"] if post["channel"] == name)
