"""Agents behind a real `langgraph dev`, from the registry."""

import json
import shutil
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from hitl_orchestrator.domain.hitl import Answered, Denied, ResponseType
from hitl_orchestrator.domain.state import Outcome, Report
from hitl_orchestrator.nodes.agents import read_agent
from hitl_orchestrator.nodes.remote import embed_remote
from hitl_orchestrator.nodes.run_kinds import RemoteGraph
from tests.environments import install, make_environment
from tests.processes import find_free_port, running, serving
from tests.steps import YES, Step
from tests.temporary import temporary_folder
from tests.test_first_run import answered, started, waiting

GRAPHS = ("both", "joined", "stopped_before_publish")
AGE = Answered(responseType=ResponseType.FORM, data={"age": 30})

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def url() -> Generator[str]:
    with temporary_folder() as folder:
        python = make_environment(folder)
        install(python, "langgraph-cli[inmem]", "structlog<26")
        shutil.copy(Path(__file__).with_name("served.py"), folder)
        graphs = {name: f"./served.py:{name}" for name in GRAPHS}
        served = {"dependencies": ["."], "graphs": graphs}
        (folder / "langgraph.json").write_text(json.dumps(served))
        port = str(find_free_port())
        with running(
            "dev",
            *("--port", port, "--no-browser", "--no-reload"),
            environment={"LANGSMITH_TRACING": "false"},
            says="Application started up",
            program=folder / ".venv/bin/langgraph",
            folder=folder,
        ):
            yield f"http://127.0.0.1:{port}"


def mapping(url: str, graph_id: str, **more: Any) -> dict[str, Any]:
    return {
        "capabilityId": graph_id,
        "displayName": graph_id,
        "inputFacets": ["objective"],
        "optionalInputFacets": ["log"],
        "outputFacets": ["answer"],
        "url": url,
        "graphId": graph_id,
        **more,
    }


class RemoteStep(Step):
    """Its thread is on the server, so each test has another."""

    async def visit(self) -> Report:
        assert isinstance(self.agent.run, RemoteGraph)
        task = self.task.but(runId=str(self.log))
        return await embed_remote(self.agent, self.agent.run)(task, self.answers)


def step_of(url: str, folder: Path, graph_id: str, **more: Any) -> RemoteStep:
    return RemoteStep(read_agent(mapping(url, graph_id, **more), "here"), folder / "log")


async def test_two_questions_at_once_are_answered(url: str, tmp_path: Path) -> None:
    step = step_of(url, tmp_path, "both")
    report = await step.finish({"Publish?": YES, "Age?": AGE})
    assert report.facets["answer"] in ([30, True], [True, 30])
    assert sorted(step.done) == ["age 30", "approve True"]


async def test_a_refusal_that_cannot_be_said_leaves_it_where_it_is(
    url: str, tmp_path: Path
) -> None:
    step = step_of(url, tmp_path, "both")
    report = await step.finish({"Publish?": YES, "Age?": Denied(reason="Not today")})
    assert (report.outcome, report.reason, step.done) == (Outcome.DENIED, "Not today", [])


async def test_a_question_and_a_failure_behind_a_join(url: str, tmp_path: Path) -> None:
    step = step_of(url, tmp_path, "joined", outputFacets=["post"])
    (ask,) = (await step.visit_twice()).asks
    step.answers = {ask.key: YES}
    report = await step.visit()
    assert (report.outcome, report.raised) == (Outcome.FAILED, True)
    assert report.reason == "RemoteFailed: ValueError: out of luck"
    assert (await step.visit_twice()).facets == {"post": "done"}
    assert step.done == ["prepare", "prepare", "approve True", "try", "try"]


async def test_a_static_breakpoint_is_not_passed(url: str, tmp_path: Path) -> None:
    step = step_of(url, tmp_path, "stopped_before_publish")
    report = await step.visit_twice()
    assert (report.outcome, step.done) == (Outcome.FAILED, ["prepare"])


def test_a_person_is_asked_by_our_server_and_answers_there(
    url: str, database_url: str, tmp_path: Path
) -> None:
    """Its step fails once between, and is tried again by itself."""
    log = str(tmp_path / "log")
    described = mapping(url, "joined", retries={"attempts": 1, "seconds": 0}, outputFacets=["post"])
    give = f"lambda task: {{'objective': task['objective'], 'log': {log!r}}}"
    file = tmp_path / "plugged_in.py"
    file.write_text(f"agent = {described!r} | {{'input': {give}}}\n")
    with serving(database_url, f"{file}:agent") as server, server.client() as api:
        run = started(api, objective="Write to them", outputs=["post"])
        assert waiting(run)["question"] == "Publish?"
        run = answered(api, run, approved=True)
    assert (run["status"], run["result"]["outputs"]) == ("completed", {"post": "done"})
    done = Path(log).read_text().split("\n")[:-1]
    assert done == ["prepare", "prepare", "approve True", "try", "try"]
