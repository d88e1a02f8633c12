"""What is released: an sdist, the wheel made from it, and that wheel in a stranger's project."""

import re
from collections import Counter
from collections.abc import Generator
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.environments import build_wheel, install, make_environment, run
from tests.processes import API_KEY, running
from tests.repository import FOLDERS, ROOT
from tests.temporary import temporary_folder
from tests.test_first_run import DESK, answered, started, waiting

LOCK, DEV_LOCK = ROOT / "requirements.lock", ROOT / "requirements-dev.lock"
PIN = re.compile(r"^[\w.-]+(?:\[[\w,]+\])?==[^\s;]+", re.MULTILINE)

# The usual layout of a LangGraph project. Its modules bear the names of our folders.
STRANGERS = {
    "state.py": "from typing import TypedDict\n\n\nclass State(TypedDict):\n    said: str\n",
    "nodes.py": "def answer(state):\n    return {'said': 'hello'}\n",
    "graph.py": (
        "from langgraph.graph import START, StateGraph\n"
        "from nodes import answer\n"
        "from state import State\n\n"
        "workflow = StateGraph(State).add_node(answer).add_edge(START, 'answer').compile()\n"
    ),
    "server.py": "raise SystemExit('the server of somebody else')\n",
}
PROBE = (
    "import graph, hitl_orchestrator.graph; assert graph.workflow.invoke({'said': ''}) == "
    "{'said': 'hello'}; print(hitl_orchestrator.__file__)"
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("dist"))


@pytest.fixture
def project() -> Generator[Path]:
    """A stranger's folder, with a virtual environment in `.venv`."""
    with temporary_folder() as folder:
        for name, text in STRANGERS.items():
            (folder / name).write_text(text, "utf-8")
        make_environment(folder)
        yield folder


def pins(lock: Path) -> set[str]:
    return {*PIN.findall(lock.read_text("utf-8"))}


def test_what_develops_is_what_runs_and_more() -> None:
    assert pins(LOCK) < pins(DEV_LOCK)


@pytest.mark.slow
def test_the_wheel_has_each_of_our_files_once_under_the_import_root(wheel: Path) -> None:
    ours = [
        f"hitl_orchestrator/{path.relative_to(ROOT).as_posix()}"
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    ]
    ours += [
        path.relative_to(ROOT / "elsewhere").as_posix()
        for path in (ROOT / "elsewhere/hitl_agent").iterdir()
        if path.is_file()
    ]
    root = ROOT / "src/hitl_orchestrator"
    ours += [f"{root.name}/{path.name}" for path in root.iterdir() if path.is_file()]
    with ZipFile(wheel) as archive:
        packed = [name for name in archive.namelist() if ".dist-info/" not in name]
    assert {name: count for name, count in Counter(packed).items() if count > 1} == {}
    assert {*ours} == {*packed}


@pytest.mark.slow
def test_the_wheel_serves_beside_a_strangers_graph_nodes_and_state(
    wheel: Path, project: Path
) -> None:
    constraints = project / "constraints.txt"
    constraints.write_text("\n".join(sorted(pins(LOCK))), "utf-8")
    python = project / ".venv/bin/python"
    install(python, "--constraint", constraints, wheel)
    imported = run(python, "-c", PROBE, cwd=project)
    assert Path(imported.strip()).is_relative_to(project / ".venv")

    with (
        running(
            "serve",
            environment={"API_KEY": API_KEY, "PORT": "0", "PYTHONPATH": "."},
            says="HITL Orchestrator: ",
            program=project / ".venv/bin/hitl",
            folder=project,
        ) as server,
        server.client() as api,
    ):
        asked = started(api, **DESK)
        asked = answered(api, asked, selectedOptionId=waiting(asked)["options"][0]["id"])
        asked = answered(api, asked, approved=True)
        assert asked["status"] == "completed"
        assert server.terminate() == 0
    assert [*project.glob("outbox/**/*.txt")]
