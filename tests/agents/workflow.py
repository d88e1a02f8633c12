"""LangGraph's functional API: an entrypoint whose finished tasks are not done again."""

from pathlib import Path
from typing import Any

from langgraph.func import entrypoint, task
from langgraph.types import interrupt


@task
async def step(log: str | None, line: str) -> str:
    if log:
        with Path(log).open("a") as lines:  # noqa: ASYNC230
            lines.write(line + "\n")
    return line


@entrypoint()
async def workflow(given: dict[str, Any]) -> dict[str, Any]:
    log = given["facets"].get("log")
    first = await step(log, "first")
    answer = interrupt({"question": "Go on?", "kind": "approval"})
    second = await step(log, "second")
    return {"steps": [first, answer["status"], second]}


agent: dict[str, Any] = {
    "capabilityId": "workflows.two",
    "displayName": "Workflow",
    "inputFacets": ["objective"],
    "optionalInputFacets": ["log"],
    "outputFacets": ["steps"],
    "run": workflow,
}
