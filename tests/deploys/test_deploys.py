"""Deploys as real restarts: what ran is killed, and what comes has another agent under its name."""

from collections.abc import Generator
from pathlib import Path

import pytest

from tests.deploys.system import System, has_ended, is_free, is_held, list_actions
from tests.deploys.versions import write_version
from tests.faults.forked import finished, serving, working

__all__ = ["serving", "working"]  # so that tests/markers.py knows these tests for what they are

NO_ASK = "letters has no node ask any more"
MISFITS = {
    "the asking node was renamed": ("first", "question renamed", NO_ASK),
    "the asking node was removed": ("first", "question removed", NO_ASK),
    "the middleware's class was renamed": (
        "middleware",
        "middleware renamed",
        "letters has no node Gate.after_model any more",
    ),
    "the file of a class was renamed": ("first", "file renamed", "notes.Person came back as dict"),
    "a class got a field that it needs": ("first", "field needed", "letters.Person has no `mail`"),
    "the agent is not plugged in": (
        "first",
        "another agent",
        "no agent letters is plugged in",
    ),
}


@pytest.fixture(params=["inline", "queue"])
def system(request: pytest.FixtureRequest, database_url: str, tmp_path: Path) -> Generator[System]:
    made = System(database_url, tmp_path, request.param)
    with made.processes:
        yield made


def entry(system: System, version: str) -> str:
    return write_version(system.folder, version)


@pytest.mark.parametrize("case", MISFITS)
def test_a_deploy_that_loses_the_question_holds_it_until_it_is_back(
    system: System, case: str
) -> None:
    old, new, reason = MISFITS[case]
    system.deploy(entry(system, old))
    approved, rejected = system.start(), system.start()

    system.deploy(entry(system, new))
    for run in (approved, rejected):
        for says in (False, True):
            status, problem = system.answer(run, says)
            assert (status, problem["type"]) == (409, "urn:hitl:held"), problem
            assert reason in problem["held"]["reason"]
            assert problem["held"]["capabilityId"] == "letters"
        held = system.run(run)
        assert (held["status"], held["pendingRequestId"]) == (
            "awaiting_hitl",
            run["pendingRequestId"],
        )
        assert held["held"] == problem["held"]
        assert list_actions(held) == ["start", "request", "hold"]
    assert system.get("/readyz")["heldRuns"] == 2
    assert finished(system.database_url, "audit", "verify")[0] == 0

    system.deploy(entry(system, old))
    for run, says, letter in ((approved, True, "sent"), (rejected, False, "not sent")):
        system.wait(run, is_free)
        assert system.answer(run, says)[0] == 200
        ended = system.wait(run, has_ended)
        assert (ended["error"], ended["result"]["outputs"]) == (None, {"letter": letter})
        assert list_actions(ended) == ["start", "request", "hold", "resume", "deliver", "complete"]
    assert system.done == ["sent"]
    assert system.get("/readyz")["heldRuns"] == 0


def test_why_a_run_is_held_is_told_anew_at_each_deploy(database_url: str, tmp_path: Path) -> None:
    """It is held once, since the first of them."""
    system = System(database_url, tmp_path, "inline")
    with system.processes:
        system.deploy(entry(system, "first"))
        run = system.start()
        system.deploy(entry(system, "another agent"))
        held = system.wait(run, is_held)["held"]
        assert held["reason"] == "no agent letters is plugged in"
        system.deploy(entry(system, "question renamed"))
        again = system.wait(run, lambda found: NO_ASK in found["held"]["reason"])
        assert again["held"]["since"] == held["since"]
        assert list_actions(again) == ["start", "request", "hold"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("first", "another node renamed"),
        ("first", "field added"),
        ("field needed", "first"),
    ],
    ids=["another node was renamed", "a field was added", "a field was removed"],
)
def test_a_deploy_that_keeps_the_question_takes_the_decision(
    system: System, old: str, new: str
) -> None:
    system.deploy(entry(system, old))
    run = system.start()
    system.deploy(entry(system, new))
    assert system.answer(run, True)[0] == 200
    ended = system.wait(run, has_ended)
    assert ended["result"]["outputs"] == {"letter": "sent"}
    assert system.done == ["sent"]


@pytest.mark.parametrize("new", ["question renamed", "another agent"])
def test_a_decision_that_got_its_200_before_the_deploy_is_kept(
    database_url: str, tmp_path: Path, new: str
) -> None:
    """No worker drives it yet when the deploy comes."""
    system = System(database_url, tmp_path, "queue")
    with system.processes:
        system.deploy(entry(system, "first"))
        run = system.start()
        system.deploy(entry(system, "first"), worker="")
        assert system.answer(run, True)[0] == 200

        system.deploy(entry(system, new))
        held = system.wait(run, is_held)
        assert held["status"] == "running"
        assert held["requests"][0]["status"] == "resolved"
        assert list_actions(held) == ["start", "request", "resume", "hold"]
        assert system.answer(run, False)[0] == 409
        assert system.done == []

        system.deploy(entry(system, "first"))
        ended = system.wait(run, has_ended)
        assert ended["result"]["outputs"] == {"letter": "sent"}
        assert list_actions(ended)[-2:] == ["deliver", "complete"]
    assert system.done == ["sent"]


def test_a_server_without_the_agent_takes_a_decision_that_another_drives(
    database_url: str, tmp_path: Path
) -> None:
    system = System(database_url, tmp_path, "inline")
    with system.processes:
        system.deploy(entry(system, "first"))
        run = system.start()
        system.server = system.serve(entry(system, "another agent"))
        status, taken = system.answer(run, True)
        assert status == 200, taken
        ended = system.wait(run, has_ended)
        assert (ended["result"]["outputs"], is_held(ended)) == ({"letter": "sent"}, False)
    assert system.done == ["sent"]


def test_an_old_server_leaves_runs_of_new_agents_alone(database_url: str, tmp_path: Path) -> None:
    """Its sweep sees them once the new server is gone, and does not fail them."""
    system = System(database_url, tmp_path, "inline")
    with system.processes:
        system.deploy(entry(system, "another agent"))
        old = system.server
        system.server = new = system.serve(entry(system, "first"))
        run = system.start()
        assert system.answer(run, False)[0] == 200
        system.wait(run, has_ended)
        waiting = system.start()
        new.kill()
        system.server = old
        assert system.wait(waiting, is_held)["status"] == "awaiting_hitl"
        assert system.answer(waiting, True)[0] == 409


def test_a_worker_without_the_agent_gives_the_job_back(database_url: str, tmp_path: Path) -> None:
    system = System(database_url, tmp_path, "queue")
    with system.processes:
        system.deploy(entry(system, "first"), worker=entry(system, "another agent"))
        runs = [
            system.post("/api/runs", {"objective": "Write", "outputs": ["letter"]})[1]
            for _ in range(3)
        ]
        # only a worker that does not have the agent takes jobs
        system.wait(runs[0], is_held)
        assert {system.run(run)["status"] for run in runs} == {"queued"}
        system.work(entry(system, "first"))
        for run in runs:
            paused = system.wait(run, lambda found: found["status"] == "awaiting_hitl")
            assert system.answer(paused, True)[0] == 200
            assert system.wait(run, has_ended)["result"]["outputs"] == {"letter": "sent"}
    assert system.done == ["sent"] * 3


def test_preflight_says_which_runs_fit_and_why_one_does_not(
    database_url: str, tmp_path: Path
) -> None:
    system = System(database_url, tmp_path, "inline")
    with system.processes:
        system.deploy(entry(system, "first"))
        run = system.start()

        def preflight(version: str) -> tuple[int, str]:
            return finished(database_url, "preflight", HITL_AGENTS=entry(system, version))

        code, said = preflight("first")
        assert (code, run["runId"] in said) == (0, True)
        code, said = preflight("another node renamed")
        assert code == 0
        code, said = preflight("question renamed")
        assert code == 1
        assert NO_ASK in said
        assert preflight("another agent")[0] == 1
        assert not is_held(system.run(run)), "looking changes nothing"
