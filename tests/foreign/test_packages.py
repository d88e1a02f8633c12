"""deepagents, langgraph-supervisor and langgraph-swarm from the registry, unchanged, beside us."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.environments import build_wheel, install, make_environment
from tests.processes import API_KEY, running
from tests.temporary import temporary_folder
from tests.test_first_run import answered, started, waiting

AGENTS = Path(__file__).with_name("packages.py")
PACKAGES = ("deepagents", "langgraph-supervisor", "langgraph-swarm")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Generator[Path]:
    """With an environment in `.venv` that has these packages in the versions that they want."""
    with temporary_folder() as folder:
        python = make_environment(folder)
        install(python, build_wheel(tmp_path_factory.mktemp("dist")), *PACKAGES)
        yield folder


@pytest.fixture(scope="module")
def api(folder: Path) -> Generator[httpx.Client]:
    with (
        running(
            "serve",
            environment={
                "API_KEY": API_KEY,
                "PORT": "0",
                "HITL_AGENTS": f"{AGENTS}:agents",
                "HITL_MAX_REQUESTS": "10",
                "EFFECTS": str(folder / "effects"),
            },
            says="HITL Orchestrator: ",
            program=folder / ".venv/bin/hitl",
            folder=folder,
        ) as server,
        server.client() as client,
    ):
        yield client
        server.terminate()  # with its Postgres, whose data lies in the folder


@pytest.fixture
def effects(folder: Path) -> Generator[Path]:
    path = folder / "effects"
    path.touch()
    yield path
    path.unlink()


def decide(api: httpx.Client, run: dict[str, Any], approved: list[str]) -> dict[str, Any]:
    """Answer whatever is asked: a mail to these is approved, each other rejected."""
    while run["status"] == "awaiting_hitl":
        request = waiting(run)
        if request["action"]["arguments"]["to"] in approved:
            run = answered(api, run, approved=True)
        else:
            run = answered(api, run, approved=False, freeformText="Not to them")
    return run


@pytest.mark.parametrize(
    ("agent", "asked"),
    [("deep", ["ann", "bob", "eve"]), ("supervised", ["ann", "bob"]), ("swarm", ["ann", "bob"])],
)
def test_each_mail_is_asked_for_and_only_what_was_approved_is_sent_once(
    api: httpx.Client, effects: Path, agent: str, asked: list[str]
) -> None:
    run = started(api, objective="Write to them", agents=[agent], outputs=[f"{agent}_said"])
    run = decide(api, run, approved=["bob"])
    assert run["status"] == "completed", run["error"]
    questions = [request["action"] for request in run["requests"]]
    assert sorted(question["arguments"]["to"] for question in questions) == asked
    assert effects.read_text().split() == ["bob"]
