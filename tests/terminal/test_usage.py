"""How a client command says what is wrong: one line, and an exit code that programs can tell."""

import re
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.terminal.commands import HITL, NOBODY, environment, hitl

COMMANDS = [
    "new",
    "try",
    "check",
    "serve",
    "work",
    "migrate",
    "prune",
    "run",
    "follow",
    "runs",
    "pending",
    "show",
    "capabilities",
    "answer",
    "deny",
    "remove",
    "cancel",
    "retry",
    "audit verify",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(command: str, tmp_path: Path) -> None:
    shown = hitl(*command.split(), "--help", cwd=tmp_path)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert re.search(rf"Example:\n    (\w+=\S+ )?hitl {command}", shown.stdout)


def test_the_help_names_every_setting_and_exit_code_that_all_commands_share(
    tmp_path: Path,
) -> None:
    shown = " ".join(hitl("--help", cwd=tmp_path).stdout.split())
    for name in ("DATABASE_URL", "HITL_DATA_DIR", "HITL_URL", "API_KEY", ".env"):
        assert name in shown
    assert "Exit codes: 0 done; 1 the server said no, or the run failed or was cancelled;" in shown
    assert "2 wrong usage; 3 a person is needed." in shown


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("run", "Give either FILE or --objective."),
        ("run body.json --objective x", "Give either FILE or --objective."),
        ("run missing.json", "missing.json cannot be read: No such file or directory"),
        ("run .", ". cannot be read: Is a directory"),
        ("run list.json", "list.json must hold a JSON object."),
        ("run broken.json", "broken.json is not JSON: Expecting"),
        ("run nan.json", "nan.json is not JSON: NaN is not a JSON value"),
        ("run deep.json", "deep.json is not JSON: "),
        ("run latin1.txt", "latin1.txt cannot be read: it is not UTF-8 (byte 1)"),
        (
            "run odd.json --input a=body.json",
            "`inputs` in FILE must be an object, or nothing can be added to it.",
        ),
        (
            "run odd.json --output a",
            "`outputs` in FILE must be a list, or nothing can be added to it.",
        ),
        (
            "run --objective x --input source",
            "--input 'source' must look like NAME=@FILE or NAME=TEXT.",
        ),
        (
            "run --objective x --input source=missing.md",
            "--input 'source=missing.md': there is no file missing.md. "
            "If that is the text itself, write source==missing.md",
        ),
        (
            "run --objective x --input source=@missing.md",
            "missing.md cannot be read: No such file or directory",
        ),
        ("run --objective x --input a=broken.json", "broken.json is not JSON"),
        ("run - --input source=-", "Standard input can be read only once."),
        ("answer hitl_1", "Give one of --approve, --reject, --option, --text, --data and --value"),
        ("answer hitl_1 --approve --reject", "Give one of --approve"),
        ("answer hitl_1 --option a --data body.json", "Give one of --approve"),
        ("answer hitl_1 --reject --edit body.json", "--edit goes with --approve."),
        ("answer hitl_1 --approve --edit list.json", "list.json must hold a JSON object."),
        ("answer hitl_1 --data missing.json", "missing.json cannot be read"),
    ],
)
def test_wrong_usage_is_told_in_one_line_and_ends_with_2(
    arguments: str, says: str, tmp_path: Path
) -> None:
    (tmp_path / "body.json").write_text('{"objective": "x"}')
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "nan.json").write_text('{"a": NaN}')
    (tmp_path / "deep.json").write_text("[" * 100_000)
    (tmp_path / "odd.json").write_text('{"inputs": 5, "outputs": "a"}')
    (tmp_path / "latin1.txt").write_bytes(b"{\xe9}")
    told = hitl(*arguments.split(), cwd=tmp_path, HITL_URL=NOBODY, API_KEY="k")
    assert (told.returncode, told.stdout) == (2, "")
    (line,) = told.stderr.splitlines()
    assert line.startswith(f"hitl: {says}")


@pytest.mark.parametrize(
    "arguments",
    [
        "deny hitl_1",
        "remove hitl_1",
        "cancel run_1",
        "retry",
        "pending --urgency extreme",
        "answer",
        "frobnicate",
        "run --max-questions -1",
    ],
)
def test_what_the_command_line_does_not_know_ends_with_2(arguments: str, tmp_path: Path) -> None:
    told = hitl(*arguments.split(), cwd=tmp_path)
    assert told.returncode == 2
    assert "Error: " in told.stderr
    assert "Traceback" not in told.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        "run --objective x",
        "pending",
        "show run_1",
        "follow run_1",
        "runs",
        "capabilities",
        "answer hitl_1 --approve",
        "deny hitl_1 --reason x",
        "remove hitl_1 --reason x",
        "cancel run_1 --reason x",
        "retry run_1",
    ],
)
def test_a_server_that_does_not_answer_is_told_in_one_line(arguments: str, tmp_path: Path) -> None:
    told = hitl(*arguments.split(), cwd=tmp_path, HITL_URL=NOBODY, API_KEY="k")
    assert (told.returncode, told.stdout) == (1, "")
    assert told.stderr == (
        f"hitl: The server at {NOBODY} does not answer ([Errno 111] Connection refused). "
        "Is it running?\n"
    )


def test_an_id_that_no_id_can_be_is_told_in_one_line(tmp_path: Path) -> None:
    told = hitl("show", "x" * 1001, cwd=tmp_path, HITL_URL=NOBODY, API_KEY="k")
    assert (told.returncode, told.stderr) == (2, "hitl: An id cannot be that long.\n")


def test_standard_streams_that_are_closed_are_no_terminal(tmp_path: Path) -> None:
    told = subprocess.run(
        ["sh", "-c", f"{HITL} run --objective x <&-"],
        cwd=tmp_path,
        env=environment(HITL_URL=NOBODY, API_KEY="k"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 1
    assert told.stderr.count("\n") == 1


def test_the_version_and_the_short_help_are_told(tmp_path: Path) -> None:
    told = hitl("--version", cwd=tmp_path)
    assert (told.returncode, told.stdout) == (0, f"hitl {version('hitl-orchestrator')}\n")
    for command in (["-h"], ["answer", "-h"], ["keys", "add", "-h"]):
        short, long = hitl(*command, cwd=tmp_path), hitl(*command[:-1], "--help", cwd=tmp_path)
        assert (short.returncode, short.stdout) == (0, long.stdout)
    assert hitl("answer", cwd=tmp_path).returncode == 2
