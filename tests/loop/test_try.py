"""`hitl try`: an agent in memory, its questions answered here."""

import json
from pathlib import Path

import pytest

from tests.repository import ROOT
from tests.terminal.commands import hitl
from tests.terminal.screen import screen

BROKEN = """
def divide(number):
    return number / 0

def run(task):
    return {"said": divide(task["facets"]["number"])}

agent = {
    "capabilityId": "broken", "displayName": "Broken", "inputFacets": ["number"],
    "outputFacets": ["said"], "run": run,
}
"""
PARALLEL = "parallel.py:agent"


@pytest.fixture
def audience(tmp_path: Path) -> Path:
    text = (ROOT / "examples" / "audience.py").read_text("utf-8")
    (tmp_path / "audience.py").write_text(text, "utf-8")
    return tmp_path


def test_a_person_answers_in_the_terminal(audience: Path) -> None:
    with screen(audience, "try", "audience.py:agent", "--objective", "Announce it") as terminal:
        terminal.expect("plan version 1")
        terminal.expect("briefing.audience asks")
        terminal.expect("Your choice")
        terminal.type("7\n")
        terminal.expect("That is not one of the options.")
        terminal.type("2\n")
        terminal.expect("plan version 2")
        code, rest = terminal.end()
    assert code == 0
    assert "The run is completed." in rest
    assert "audience: ops" in rest
    assert sorted(file.name for file in audience.iterdir() if file.suffix) == ["audience.py"]


def test_a_person_leaves(audience: Path) -> None:
    with screen(audience, "try", "audience.py:agent") as terminal:
        terminal.expect("Your choice")
        terminal.type("s\n")
        code, rest = terminal.end()
    assert code == 3
    assert "Nothing of the run is kept." in rest
    with screen(audience, "try", "audience.py:agent") as terminal:
        terminal.expect("Your choice")
        terminal.interrupt()
        code, rest = terminal.end()
    assert code == 130


def test_without_a_terminal_a_person_is_needed(audience: Path) -> None:
    tried = hitl("try", "audience.py:agent", cwd=audience)
    assert tried.returncode == 3
    assert "Which audience?" in tried.stdout
    assert "give --answers FILE" in tried.stdout


@pytest.mark.parametrize(
    ("answers", "code", "says"),
    [
        (["dev"], 0, "audience: dev"),
        ([{"approved": False, "freeformText": "Later"}], 0, "why: Later"),
        (["nobody"], 1, "does not"),
        (["ops", "dev"], 0, "Answers that nothing asked for: ['dev']"),
        ({}, 2, "must hold a JSON list"),
    ],
)
def test_a_script_answers(audience: Path, answers: object, code: int, says: str) -> None:
    (audience / "answers.json").write_text(json.dumps(answers))
    tried = hitl("try", "audience.py:agent", "--answers", "answers.json", cwd=audience)
    assert tried.returncode == code
    assert says in tried.stdout + tried.stderr


def test_a_failure_has_a_traceback_with_the_agents_lines_alone(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(BROKEN)
    (tmp_path / "number.json").write_text("4")
    tried = hitl("try", "broken.py:agent", "--input", "number=number.json", cwd=tmp_path)
    assert tried.returncode == 1
    lines = [line.strip() for line in tried.stdout.splitlines()]
    assert f'File "{tmp_path / "broken.py"}", line 3, in divide' in lines
    assert "return number / 0" in lines
    assert "ZeroDivisionError: division by zero" in lines
    assert "site-packages" not in tried.stdout
    assert "During task" not in tried.stdout
    assert "The run is failed: " in tried.stdout


def test_what_cannot_begin_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(BROKEN)
    tried = hitl("try", "broken.py:agent", cwd=tmp_path)
    assert (tried.returncode, tried.stderr.count("\n")) == (1, 1)
    assert "number" in tried.stderr
    missing = hitl("try", "nothing.py:agent", cwd=tmp_path)
    assert missing.returncode == 1
    assert missing.stderr.startswith("hitl: nothing.py:agent cannot be loaded: ")


def test_a_file_that_breaks_while_it_is_loaded_shows_its_line(tmp_path: Path) -> None:
    (tmp_path / "typo.py").write_text("agent = {\n    'capabilityId': oops,\n}\n")
    tried = hitl("try", "typo.py:agent", cwd=tmp_path)
    assert tried.returncode == 1
    assert f'File "{tmp_path / "typo.py"}", line 2' in tried.stdout
    assert "NameError: name 'oops' is not defined" in tried.stderr
    (tmp_path / "syntax.py").write_text("agent = {\n")
    tried = hitl("try", "syntax.py:agent", cwd=tmp_path)
    assert "SyntaxError" in tried.stderr
    assert "line 1" in tried.stdout


def test_it_needs_no_place_to_write_and_leaves_nothing(tmp_path: Path) -> None:
    agent = str(ROOT / "tests" / "agents" / PARALLEL)
    (tmp_path / "answers.json").write_text(json.dumps([True] * 2))
    tried = hitl("try", agent, "--answers", "answers.json", cwd=tmp_path)
    assert tried.returncode in (0, 1, 3)
    assert [file.name for file in tmp_path.iterdir()] == ["answers.json"]
