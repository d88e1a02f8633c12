"""Agents behind a real `langgraph dev` and `langgraphjs dev`, from the registries."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from langgraph_sdk import get_client

from hitl_orchestrator.domain.hitl import Answered, Denied, Kind, ResponseType
from hitl_orchestrator.domain.state import Outcome, Report
from hitl_orchestrator.nodes.agents import read_agent
from hitl_orchestrator.nodes.remote import embed_remote
from hitl_orchestrator.nodes.run_kinds import RemoteGraph
from tests.environments import build_wheel, install, make_environment, run
from tests.processes import find_free_port, serving
from tests.repository import ROOT
from tests.steps import YES, Step, text
from tests.temporary import temporary_folder
from tests.test_first_run import answered, started, waiting

GRAPHS = ("both", "twice", "joined", "stopped")
PYTHON_ONLY = ("form",)  # JavaScript has no response_schema
AGE = Answered(responseType=ResponseType.FORM, data={"age": 30})
START_SECONDS = 60.0

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def environment() -> Generator[Path]:
    """A folder with a `.venv` that has LangGraph's server and, beside it, our wheel."""
    with temporary_folder() as folder:
        install(make_environment(folder), build_wheel(folder), "langgraph-cli[inmem]>=0.4")
        yield folder


@pytest.fixture(scope="module")
def python_url(environment: Path) -> Generator[str]:
    write_manifest(environment, "served.py", *GRAPHS, *PYTHON_ONLY)
    with served(environment, environment / ".venv/bin/langgraph", "--no-reload") as url:
        yield url


@pytest.fixture(scope="module")
def studio_url(environment: Path) -> Generator[str]:
    """Our own graph, as this repository's langgraph.json names it."""
    with temporary_folder() as folder:
        for name in ("langgraph.json", "src"):
            (folder / name).symlink_to(ROOT / name)
        with served(folder, environment / ".venv/bin/langgraph", "--no-reload") as url:
            yield url


@pytest.fixture(scope="module")
def javascript_url() -> Generator[str]:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    with temporary_folder() as folder:
        (folder / "package.json").write_text('{"private": true, "type": "module"}')
        names = ("langgraph", "core", "langgraph-cli")
        packages = [f"@langchain/{name}" for name in names]
        run(npm, "install", "--no-audit", "--no-fund", *packages, cwd=folder)
        write_manifest(folder, "served.mjs", *GRAPHS)
        with served(folder, folder / "node_modules/.bin/langgraphjs") as url:
            yield url


@pytest.fixture(params=["python_url", "javascript_url"])
def url(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue(request.param)


def write_manifest(folder: Path, file: str, *names: str) -> None:
    shutil.copy(Path(__file__).with_name(file), folder)
    graphs = {name: f"./{file}:{name}" for name in names}
    manifest: dict[str, Any] = {"dependencies": ["."], "graphs": graphs}
    if file.endswith(".mjs"):
        manifest["node_version"] = "20"
    (folder / "langgraph.json").write_text(json.dumps(manifest))


@contextmanager
def served(folder: Path, program: Path, *arguments: str) -> Generator[str]:
    """Run `dev` with all that it starts; yield its address once it answers."""
    port = find_free_port()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, "dev", "--no-browser", "--port", str(port), *arguments],
            env={**os.environ, "LANGSMITH_TRACING": "false"},
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_for(f"http://127.0.0.1:{port}", process, folder / "log")
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        try:
            if httpx.get(f"{url}/ok").is_success:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError(f"it did not come up:\n{log.read_text()[-3000:]}")


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
    report = await step.finish({"Publish?": YES, "Age?": text("30")})
    assert report.facets["answer"] in (["30", True], [True, "30"])
    assert sorted(step.done) == ["age 30", "approve true"]


async def test_two_questions_of_one_node_are_two(url: str, tmp_path: Path) -> None:
    step = step_of(url, tmp_path, "twice")
    for said in ("yes", "no"):
        (ask,) = (await step.visit_twice()).asks
        step.answers[ask.key] = text(said)
    report = await step.visit_twice()
    assert (report.facets, step.done) == ({"answer": ["yes", "no"]}, ["yes no"])


async def test_a_question_with_a_schema_is_a_form(python_url: str, tmp_path: Path) -> None:
    step = step_of(python_url, tmp_path, "form")
    (ask,) = (await step.visit_twice()).asks
    assert ask.question.kind is Kind.FORM
    step.answers = {ask.key: AGE}
    assert (await step.visit_twice()).facets == {"answer": [{"age": 30}]}


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
    assert "out of luck" in str(report.reason)
    assert (await step.visit_twice()).facets == {"post": "done"}
    assert step.done == ["prepare", "prepare", "approve true", "try", "try"]


async def test_a_static_breakpoint_is_not_passed(url: str, tmp_path: Path) -> None:
    step = step_of(url, tmp_path, "stopped")
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
    assert done == ["prepare", "prepare", "approve true", "try", "try"]


async def test_our_own_graph_is_stepped_by_who_types(studio_url: str) -> None:
    source = "# Acme\n\n## 2.4.0\n\n- Answers stay.\n"
    given = {"objective": "Announce Acme 2.4.0", "inputs": {"source": source}}
    async with get_client(url=studio_url) as client:
        (assistant,) = await client.assistants.search()
        schemas = await client.assistants.get_schemas(assistant["assistant_id"])
        taken = cast(Any, schemas["input_schema"])["properties"]
        assert [*taken] == ["objective", "inputs", "outputs"]
        thread = (await client.threads.create())["thread_id"]
        wait = partial(cast(Any, client.runs).wait, thread, "orchestrator")

        asked = find_asked(await wait(input=given))
        assert asked["question"].startswith("Whom should")
        asked = find_asked(await wait(command={"resume": {"selectedOptionId": "nobody"}}))
        assert "nobody" in asked["refused"]
        asked = find_asked(await wait(command={"resume": {"selectedOptionId": "general"}}))
        assert asked["action"]["name"] == "publish"
        no = {"approved": False, "freeformText": "Not today"}
        ended = await wait(command={"resume": no})
    assert ended["result"]["notDone"][0]["reason"] == "Not today"


def find_asked(found: Any) -> Any:
    (interrupt,) = found["__interrupt__"]
    return interrupt["value"]


def test_beside_it_no_pattern_that_looks_around_is_trusted(environment: Path) -> None:
    """It wants an engine of schemas that forgets below `not` that it gave up."""
    forgotten = {"not": {"pattern": r"^(a|a+)+\1$"}}
    said = run(
        environment / ".venv/bin/python",
        "-c",
        "from hitl_orchestrator.domain.schemas import mismatches, schema_error\n"
        f"print(mismatches('a' * 50 + '!', {forgotten!r}), schema_error({forgotten!r}))",
    )
    assert said.count("need jsonschema-rs 0.60 or newer") == 2
