"""The two state machines: what every act does in every status."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hitl_orchestrator.domain.errors import Conflict
from hitl_orchestrator.domain.hitl import AnsweredRequest, RequestStatus
from hitl_orchestrator.domain.run import RunStatus
from hitl_orchestrator.domain.transitions import RequestAct, RunAct, request_after, run_after

LIFECYCLE = Path(__file__).parents[1] / "docs" / "hitl-lifecycle.md"

RUNS = """
               drive    pause          answer   complete   fail    cancel     retry
queued         running  -              -        -          -       cancelled  -
running        running  awaiting_hitl  running  completed  failed  cancelled  -
awaiting_hitl  -        -              running  -          -       cancelled  -
completed      -        -              -        -          -       -          -
failed         -        -              -        -          -       -          queued
cancelled      -        -              -        -          -       -          -
"""
REQUESTS = """
          answer    expire  remove  deny
pending   resolved  denied  denied  denied
resolved  -         -       -       -
denied    -         -       -       -
"""


def cells(table: str) -> list[tuple[str, str, str]]:
    """(status, act, status after it)"""
    acts, *rows = (line.split() for line in table.strip().splitlines())
    return [(row[0], act, after) for row in rows for act, after in zip(acts, row[1:], strict=True)]


@pytest.mark.parametrize(("status", "act", "after"), cells(RUNS))
def test_a_run(status: str, act: str, after: str) -> None:
    if after == "-":
        with pytest.raises(Conflict, match=f"A run that is {status} cannot {act}"):
            run_after(RunStatus(status), RunAct(act))
    else:
        assert run_after(RunStatus(status), RunAct(act)) == after


@pytest.mark.parametrize(("status", "act", "after"), cells(REQUESTS))
def test_a_request(status: str, act: str, after: str) -> None:
    if after == "-":
        with pytest.raises(Conflict, match=f"A request that is {status} cannot {act}"):
            request_after(RequestStatus(status), RequestAct(act))
    else:
        assert request_after(RequestStatus(status), RequestAct(act)) == after


def test_the_tables_here_are_whole() -> None:
    assert {(status, act) for status, act, _ in cells(RUNS)} == {
        (status, act) for status in RunStatus for act in RunAct
    }
    assert {(status, act) for status, act, _ in cells(REQUESTS)} == {
        (status, act) for status in RequestStatus for act in RequestAct
    }


def test_the_lifecycle_page_shows_the_diagrams_that_the_module_prints() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "hitl_orchestrator.domain.transitions"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "\n".join(blocks("mermaid")) == printed


def test_the_lifecycle_page_shows_a_request_as_it_is() -> None:
    (request,) = [shown for shown in map(json.loads, blocks("json")) if "question" in shown]
    assert AnsweredRequest.model_validate(request).json_object().keys() == request.keys()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", LIFECYCLE.read_text("utf-8"), re.DOTALL)
