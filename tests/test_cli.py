"""The client commands, as a person and a program meet them: a process, its lines, its exit code."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from codecs import getincrementaldecoder
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from rich.console import RenderableType

from hitl_orchestrator.server.terminal.client import (
    Api,
    BadInput,
    Frame,
    NoServer,
    PausedRun,
    Request,
    Run,
    Server,
    find_server,
    option_id,
    pending,
)
from hitl_orchestrator.server.terminal.views import (
    Terminal,
    frame_line,
    pending_view,
    plan_view,
    question_view,
    request_view,
    result_view,
    run_view,
)
from tests.processes import DESK, Running, serving

HITL = str(Path(sys.executable).parent / "hitl")
CSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
NOBODY = "http://127.0.0.1:1"
COMMANDS = [
    "serve",
    "work",
    "migrate",
    "prune",
    "run",
    "pending",
    "show",
    "answer",
    "remove",
    "cancel",
    "audit verify",
]


def environment(**changes: str) -> dict[str, str]:
    """Nothing of ours from outside; no data folder where a server might be found."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("HITL_") and name not in ("API_KEY", "EDITOR", "VISUAL")
    }
    return {**inherited, "HITL_DATA_DIR": "nowhere", "TERM": "xterm", **changes}


def hitl(
    *arguments: str, cwd: Path, stdin: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [HITL, *arguments],
        input=stdin,
        cwd=cwd,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


# Wrong usage, files, and servers that are not there


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(command: str, tmp_path: Path) -> None:
    shown = hitl(*command.split(), "--help", cwd=tmp_path)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert re.search(rf"Example:\n    (\w+=\S+ )?hitl {command}", shown.stdout)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("run", "Give either FILE or --objective."),
        ("run body.json --objective x", "Give either FILE or --objective."),
        ("run missing.json", "missing.json cannot be read: No such file or directory"),
        ("run .", ". cannot be read: Is a directory"),
        ("run list.json", "list.json is to hold a JSON object."),
        ("run broken.json", "broken.json is not JSON: Expecting"),
        ("run nan.json", "nan.json is not JSON: NaN is no JSON"),
        ("run deep.json", "deep.json is not JSON: "),
        ("run latin1.txt", "latin1.txt cannot be read: it is not UTF-8 (byte 1)"),
        ("run odd.json --input a=body.json", "`inputs` of FILE is not what the API takes there"),
        ("run odd.json --output a", "`outputs` of FILE is not what the API takes there"),
        ("run --objective x --input source", "--input 'source' is to look like NAME=FILE."),
        (
            "run --objective x --input source=missing.md",
            "missing.md cannot be read: No such file or directory",
        ),
        ("run --objective x --input a=broken.json", "broken.json is not JSON"),
        ("run - --input source=-", "Standard input can be read only once."),
        ("answer hitl_1", "Give one of --approve, --reject, --option, --text and --data"),
        ("answer hitl_1 --approve --reject", "Give one of --approve"),
        ("answer hitl_1 --option a --data body.json", "Give one of --approve"),
        ("answer hitl_1 --reject --edit body.json", "--edit goes with --approve."),
        ("answer hitl_1 --approve --edit list.json", "list.json is to hold a JSON object."),
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
        "remove hitl_1",
        "cancel run_1",
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
        "answer hitl_1 --approve",
        "remove hitl_1 --reason x",
        "cancel run_1 --reason x",
    ],
)
def test_a_server_that_does_not_answer_is_told_in_one_line(arguments: str, tmp_path: Path) -> None:
    told = hitl(*arguments.split(), cwd=tmp_path, HITL_URL=NOBODY, API_KEY="k")
    assert (told.returncode, told.stdout) == (1, "")
    assert (
        told.stderr
        == f"hitl: The server at {NOBODY} does not answer ([Errno 111] Connection refused). Is it running?\n"
    )


def test_without_a_server_it_says_how_to_start_one(tmp_path: Path) -> None:
    told = hitl("pending", cwd=tmp_path)
    assert told.returncode == 1
    assert (
        told.stderr
        == "hitl: No server is running here: start one with `hitl serve` (or scripts/run), or set HITL_URL and API_KEY.\n"
    )


def test_settings_come_from_a_dotenv_file_too(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"HITL_URL={NOBODY}\nAPI_KEY='k'\n")
    assert f"The server at {NOBODY} does not answer" in hitl("pending", cwd=tmp_path).stderr
    assert (
        "The server at http://127.0.0.1:2 does not"
        in hitl("pending", cwd=tmp_path, HITL_URL="http://127.0.0.1:2").stderr
    )


def test_a_dotenv_file_that_is_no_text_is_told(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"A=\xff")
    told = hitl("pending", cwd=tmp_path)
    assert (told.returncode, told.stderr) == (
        2,
        "hitl: .env cannot be read: it is not UTF-8 (byte 2)\n",
    )


@pytest.mark.parametrize("url", ["localhost:8080", "ftp://x", "http://", "http://a:b:c"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(BadInput, match="HITL_URL is "):
        find_server({"HITL_URL": url, "API_KEY": "k"})


def test_a_key_that_no_header_can_carry_is_refused() -> None:
    with pytest.raises(BadInput, match="API_KEY has characters that no key has"):
        find_server({"HITL_URL": NOBODY, "API_KEY": "schlüssel"})


def test_standard_streams_that_are_closed_are_no_terminal(tmp_path: Path) -> None:
    told = subprocess.run(
        ["sh", "-c", f"{HITL} run --objective x <&-"], cwd=tmp_path, env=environment(HITL_URL=NOBODY, API_KEY="k"),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert told.returncode == 1
    assert told.stderr.count("\n") == 1


# Beside an embedded server


def data_folder(
    folder: Path, url: str = "http://127.0.0.1:8123", key: str = "made-once"
) -> dict[str, str]:
    (folder / "server.json").write_text(json.dumps({"url": url}))
    (folder / "api_key").write_text(key + "\n")
    return {"HITL_DATA_DIR": str(folder)}


def test_an_embedded_server_is_found_by_its_data_folder(tmp_path: Path) -> None:
    assert find_server(data_folder(tmp_path)) == Server("http://127.0.0.1:8123", "made-once")


def test_what_is_set_comes_first(tmp_path: Path) -> None:
    settings = data_folder(tmp_path)
    assert find_server({**settings, "API_KEY": "mine"}) == Server("http://127.0.0.1:8123", "mine")
    assert find_server({**settings, "HITL_URL": "http://localhost:9"}) == Server(
        "http://localhost:9", "made-once"
    )


def test_the_key_of_this_machine_is_not_sent_to_another(tmp_path: Path) -> None:
    with pytest.raises(
        NoServer,
        match=r"The key of the server at https://hitl\.example\.org is not known: set API_KEY\.",
    ):
        find_server({**data_folder(tmp_path), "HITL_URL": "https://hitl.example.org"})


def test_a_data_folder_without_a_running_server_is_none(tmp_path: Path) -> None:
    settings = data_folder(tmp_path)
    (tmp_path / "server.json").unlink()
    with pytest.raises(NoServer, match="No server is running here"):
        find_server(settings)


@pytest.mark.parametrize("content", ["", "[]", "{}"])
def test_a_server_file_that_says_nothing_is_told(content: str, tmp_path: Path) -> None:
    settings = data_folder(tmp_path)
    (tmp_path / "server.json").write_text(content)
    with pytest.raises(NoServer, match="does not say where the server is"):
        find_server(settings)


# What is imported


def test_the_client_commands_start_without_what_they_do_not_need() -> None:
    heavy = ["pydantic", "fastapi", "langgraph", "psycopg", "rich.markdown", "pygments", "dotenv"]
    script = (
        "import sys, hitl_orchestrator.server.main, hitl_orchestrator.server.terminal.client, "
        "hitl_orchestrator.server.terminal.views; "
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True
        ).stdout
        == "[]\n"
    )


# Views


def request(**changes: Any) -> Request:
    asked: Any = {
        "requestId": "hitl_1", "runId": "run_1", "originAgent": "announcement.strategist", "status": "pending", "kind": "choice",
        "question": "Whom to address?", "allowFreeForm": False, "urgency": "high", "additionalContext": "Drawn from **the source**.",
        "options": [
            {"id": "dev", "label": "Developers", "description": "who build on it"},
            {"id": "ops", "label": "Operators", "description": None},
        ],
        "action": None, "responseSchema": None, "operatorPrompt": "Choose one of 2 options.", "denialReason": None,
        "contractSummary": {
            "capabilityId": "announcement.strategist", "facets": {"input": ["objective"], "output": ["brief"]},
        },
        "createdAt": "2026-11-22T09:00:00Z", "expiresAt": None, "responses": [],
    }  # fmt: skip
    return asked | changes


def ended_run(**changes: Any) -> Run:
    steps = [
        {
            "stepId": f"s{n}",
            "capabilityId": f"desk.{name}",
            "label": name.title(),
            "status": status,
            "reason": reason,
        }
        for n, (name, status, reason) in enumerate(
            [
                ("writer", "completed", None),
                ("publisher", "denied", "not today"),
                ("mailer", "skipped", None),
            ]
        )
    ]
    published = {
        "folder": "run_1",
        "files": [{"channel": "x", "file": "x.txt"}],
        "approvedBy": None,
    }
    run: Any = {
        "runId": "run_1", "threadId": "t_1", "status": "completed", "objective": "Announce it", "pendingRequestId": None, "requests": [],
        "plan": {"version": 2, "steps": steps}, "error": None, "metadata": {"auditLog": []}, "createdAt": "2026-11-22T09:00:00Z",
        "result": {"outputs": {"published": published, "brief": {"audience": "dev"}}, "notDone": [
            {"stepId": "s1", "capabilityId": "desk.publisher", "reason": "not today"},
        ]},
    }  # fmt: skip
    return run | changes


def shown(view: RenderableType, color: bool = False) -> str:
    out = StringIO()
    Terminal(
        out, width=100, force_terminal=color, color_system="truecolor" if color else None
    ).print(view)
    return out.getvalue()


def test_a_question_is_shown_with_all_that_decides_it() -> None:
    text = shown(question_view(request(), boxed=True))
    for part in (
        "announcement.strategist asks · high", "Whom to address?", "Drawn from the source.", "1) Developers — who build on it dev",
        "2) Operators", "Choose one of 2 options.", "takes objective and makes brief", "hitl_1",
    ):  # fmt: skip
        assert part in text


def test_options_whose_ids_are_numbers_are_chosen_by_id() -> None:
    options = [
        {"id": "2", "label": "Two", "description": None},
        {"id": "1", "label": "One", "description": None},
    ]
    text = shown(question_view(request(options=options), boxed=False))
    assert "2) Two" in text
    assert "1) One" in text


def test_the_arguments_of_an_action_can_be_read() -> None:
    posts: list[Any] = [
        {"channel": "x", "text": "First line\nSecond line"},
        {"channel": "email", "tags": []},
    ]
    action: Any = {
        "name": "publish",
        "arguments": {"posts": posts, "dry": False, "to": {}},
        "allowedDecisions": [],
    }
    text = shown(question_view(request(kind="approval", options=[], action=action), boxed=False))
    wanted = (
        "The action: publish\n  posts:\n    - channel: x\n      text:\n        First line\n        Second line\n"
        "    - channel: email\n      tags: []\n  dry: false\n  to: {}\n"
    )
    assert wanted in "\n".join(line.rstrip() for line in text.splitlines())


HOSTILE = (
    "\x1b[2J\x1b]0;owned\x07\x9b31m\u202etxt.exe\x00 [red]not markup[/red] :warning: &#27;[31m"
)


@pytest.mark.parametrize("boxed", [True, False])
def test_what_agents_write_is_text_and_never_obeyed(boxed: bool) -> None:
    hostile = request(
        question=HOSTILE, operatorPrompt=HOSTILE, originAgent=HOSTILE, requestId=HOSTILE, denialReason=HOSTILE, urgency=HOSTILE,
        additionalContext=HOSTILE + "\n\n[link](http://evil.example)", options=[{"id": HOSTILE, "label": HOSTILE, "description": HOSTILE}],
        responseSchema={HOSTILE: HOSTILE}, action={"name": HOSTILE, "arguments": {HOSTILE: HOSTILE}, "allowedDecisions": []},
    )  # fmt: skip
    run = ended_run(
        objective=HOSTILE, requests=[hostile], error={"message": HOSTILE}, status="failed"
    )
    frame: Frame = {
        "type": "warning",
        "at": "2026-11-22T09:00:00Z",
        "message": HOSTILE + "\nforged line",
        "data": {},
    }
    for view in (
        question_view(hostile, boxed),
        request_view(hostile, boxed),
        run_view(run),
        frame_line(frame),
        pending_view([paused(hostile)], NOW),
    ):
        text = shown(view)
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text)
        assert "[red]not markup[/red]" in " ".join(text.split())
        colored = CSI.sub("", shown(view, color=True))
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", colored)
    assert "http://evil.example" in shown(question_view(hostile, boxed))


def test_a_frame_is_one_line_whatever_it_says() -> None:
    frame: Frame = {
        "type": "message",
        "at": "2026-11-22T09:00:00.123Z",
        "message": "a\nhitl: b",
        "data": {},
    }
    assert str(frame_line(frame)).endswith("message     a hitl: b")


@pytest.mark.parametrize(
    ("message", "hitl", "line"),
    [
        ("requested", {"question": "Which?"}, "writer asks: Which? (hitl_1)"),
        (
            "occurred",
            {"status": "resolved", "response": {"status": "answered", "responder": {"id": "ann"}}},
            "answered by ann (hitl_1)",
        ),
        (
            "occurred",
            {"status": "resolved", "response": {"status": "answered", "responder": None}},
            "answered (hitl_1)",
        ),
        (
            "occurred",
            {"status": "resolved", "response": {"status": "denied", "reason": "no"}},
            "rejected: no (hitl_1)",
        ),
        ("occurred", {"status": "denied", "denialReason": "Expired"}, "denied: Expired (hitl_1)"),
        (
            "denied",
            {"question": "Which?", "denialReason": "Too many"},
            "writer may not ask: Too many (Which?)",
        ),
    ],
)
def test_questions_in_frames_are_told(message: str, hitl: dict[str, Any], line: str) -> None:
    data = {"from": "writer", "hitl": {"requestId": "hitl_1", **hitl}}
    frame: Frame = {
        "type": "handoff",
        "at": "2026-11-22T09:00:00Z",
        "message": message,
        "data": data,
    }
    assert str(frame_line(frame)).endswith(f"handoff     {line}")


def test_a_plan_ticks_off() -> None:
    plan = ended_run()["plan"]
    assert plan
    lines = [line.split() for line in shown(plan_view(plan["steps"])).splitlines()]
    assert lines == [
        ["✔", "Writer", "desk.writer"],
        ["✘", "Publisher", "desk.publisher", "(not", "today)"],
        ["–", "Mailer", "desk.mailer"],
    ]


def test_a_result_names_what_was_made_and_what_was_not() -> None:
    text = shown(result_view(ended_run()))
    for part in (
        "The run is completed.",
        "published, in the server's outbox\n  run_1/x.txt",
        "brief\n  audience: dev",
        "Not done\n  desk.publisher: not today",
    ):
        assert part in "\n".join(line.rstrip() for line in text.splitlines())


def test_a_failed_and_a_cancelled_run_say_why() -> None:
    assert "The run is failed: no writer" in shown(
        result_view(ended_run(status="failed", error={"message": "no writer"}, result=None))
    )
    log = {
        "auditLog": [
            {"action": "start", "reason": None},
            {"action": "cancel", "reason": "changed my mind"},
        ]
    }
    assert "The run is cancelled: changed my mind" in shown(
        result_view(ended_run(status="cancelled", result=None, metadata=log))
    )


NOW = datetime(2026, 11, 22, 10, 30, tzinfo=UTC)


def paused(*requests: Request) -> PausedRun:
    return {"pendingRequests": list(requests)}


def test_the_queue_shows_how_long_each_question_waits() -> None:
    second = request(requestId="hitl_2", createdAt=(NOW - timedelta(days=3)).isoformat())
    rows = shown(pending_view([paused(request(), second)], NOW)).splitlines()
    assert [row.split()[:4] for row in rows if row.startswith("hitl_")] == [
        ["hitl_1", "high", "1", "h"],
        ["hitl_2", "high", "3", "d"],
    ]


def test_an_option_is_found_by_id_before_label() -> None:
    options = request()["options"] + [
        {"id": "x", "label": "dev", "description": None},
        {"id": "y", "label": "Twice", "description": None},
        {"id": "z", "label": "twice", "description": None},
    ]
    assert [
        option_id(options, text) for text in ("dev", "operators", "OPS", "Developers", "twice")
    ] == ["dev", "ops", None, "dev", None]


# With a server


RELEASE = """# Changelog

## 2.0.0

### Added
- **Export to CSV** for every report, so that finance can work with the figures at once.
- Keyboard shortcuts in the editor.

### Fixed
- Imports of large files no longer time out.
"""


# Agents that only ask: what they are told is what they make.
ASKING = """
from langgraph.types import interrupt

def asking(facet, **question):
    def run(task):
        answer = interrupt({"question": f"What about {facet}?", **question})
        return {facet: answer.get("data") or answer.get("freeformText") or answer.get("selectedOptionId") or answer["reason"]}
    return {
        "capabilityId": f"asks.{facet}", "displayName": facet, "inputFacets": ["objective"], "outputFacets": [facet],
        "facets": {facet: {}}, "run": run,
    }

words = asking("words")
foods = [{"id": "a", "label": "Apples"}, {"id": "b", "label": "Bread"}]
open_choice = asking("open_choice", kind="choice", allowFreeForm=True, options=foods)
form = asking("form", kind="form", responseSchema={
    "type": "object", "required": ["name", "seats"], "additionalProperties": False, "properties": {
        "name": {"type": "string", "maxLength": 10, "description": "who comes"}, "seats": {"type": "integer", "minimum": 1},
        "day": {"enum": ["Monday", 2]}, "price": {"type": "number"}, "vegan": {"type": "boolean", "default": False},
    }})
nested = asking("nested", kind="form", responseSchema={"type": "object", "properties": {"tags": {"type": "array"}}})
"""


class Desk:
    """The live server, from a folder with a source to announce."""

    def __init__(self, server: Running, folder: Path) -> None:
        self.folder = folder
        self.variables = {
            "HITL_URL": server.url,
            "API_KEY": server.api_key,
            "USER": "ann",
            "LOGNAME": "ann",
        }
        self.api = Api(Server(server.url, server.api_key))
        (folder / "CHANGELOG.md").write_text(RELEASE)
        (folder / "audience.txt").write_text("developers")
        (folder / "channels.json").write_text('["x", "linkedin"]')
        self.start = [
            "run",
            "--objective",
            "Announce this release",
            "--input",
            "source=CHANGELOG.md",
            "--input",
            "channels=channels.json",
        ]
        self.start_with_audience = [*self.start, "--input", "audience=audience.txt"]

    def hitl(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return hitl(*arguments, cwd=self.folder, **{**self.variables, **variables})

    def at_rest(self, run_id: str) -> Run:
        """The run once it has paused or ended."""
        return self.api.run(run_id, wait_seconds=25)

    def paused(self, *start: str) -> Run:
        """A run that waits for a person."""
        return json.loads(self.hitl(*(start or self.start), "--json").stdout)


@pytest.fixture(scope="module")
def server(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Generator[Running]:
    """One for all of these tests: each has runs of its own."""
    agents = tmp_path_factory.mktemp("agents") / "asking.py"
    agents.write_text(ASKING)
    names = ("words", "open_choice", "form", "nested")
    entries = ",".join([*(f"{agents}:{name}" for name in names), DESK])
    with psycopg.connect(postgres, autocommit=True) as admin:
        admin.execute("CREATE DATABASE test_cli")
    with serving(make_conninfo(postgres, dbname="test_cli"), HITL_AGENTS=entries) as running:
        yield running


@pytest.fixture
def desk(server: Running, tmp_path: Path) -> Generator[Desk]:
    desk = Desk(server, tmp_path)
    yield desk
    desk.api.close()


def test_without_a_terminal_a_question_ends_the_command_and_is_answered_by_another(
    desk: Desk,
) -> None:
    started = desk.hitl(*desk.start)
    assert (started.returncode, started.stderr) == (3, "")
    assert re.match(r"Run run_\w+ of thread thread_\w+\n\d\d:\d\d:\d\d  start  ", started.stdout)
    asked = re.search(r"^Answer it with: hitl answer (hitl_\w+) --option ID$", started.stdout, re.M)
    assert asked, started.stdout

    listed, question = desk.hitl("pending"), desk.hitl("show", asked[1])
    assert asked[1] in listed.stdout
    assert "announcement.strategist takes" in question.stdout
    choice = desk.api.request(asked[1])
    answered = desk.hitl("answer", asked[1], "--option", choice["options"][0]["label"].upper())
    assert (answered.returncode, answered.stdout) == (
        0,
        f"Answered. Run {choice['runId']} is running.\n",
    )

    (approval,) = pending(desk.at_rest(choice["runId"]))
    assert approval["action"]
    arguments = approval["action"]["arguments"]
    arguments["posts"][0]["text"] = "Edited by a person."
    (desk.folder / "posts.json").write_text(json.dumps(arguments))
    assert (
        desk.hitl(
            "answer",
            approval["requestId"],
            "--approve",
            "--edit",
            "posts.json",
            "--note",
            "shorter",
        ).returncode
        == 0
    )

    assert desk.at_rest(choice["runId"])["status"] == "completed"
    shown = desk.hitl("show", choice["runId"])
    assert "The run is completed." in shown.stdout
    assert re.search(
        r"^published, in the server's outbox\n  \S+/\S+",
        re.sub(" +$", "", shown.stdout, flags=re.M),
        re.M,
    )
    late = desk.hitl("answer", asked[1], "--reject")
    assert late.returncode == 1
    assert late.stderr.count("\n") == 1
    assert (
        json.loads(desk.hitl("show", asked[1], "--json").stdout)["responses"][0]["responderId"]
        == "ann"
    )


def test_json_is_the_runs_own_and_alone_on_stdout(desk: Desk) -> None:
    told = desk.hitl(*desk.start, "--json", "--thread", "my-thread", "--max-questions", "2")
    assert told.returncode == 3
    run: Run = json.loads(told.stdout)
    assert (run["threadId"], run["status"], run["pendingRequestId"]) == (
        "my-thread",
        "awaiting_hitl",
        run["requests"][0]["requestId"],
    )
    assert f"hitl answer {run['pendingRequestId']}" in told.stderr
    assert json.loads(desk.hitl("show", "my-thread", "--json").stdout) == run
    assert (
        json.loads(desk.hitl("pending", "--thread", "my-thread", "--json").stdout)["runs"][0][
            "runId"
        ]
        == run["runId"]
    )


def test_a_run_that_needs_nobody_is_followed_to_its_end(desk: Desk) -> None:
    told = desk.hitl(*desk.start_with_audience, "--output", "drafts")
    assert (told.returncode, told.stderr) == (0, "")
    assert "The run is completed." in told.stdout
    assert "posts:" in told.stdout


def test_the_body_may_come_from_a_file_and_options_add_to_it(desk: Desk) -> None:
    (desk.folder / "body.json").write_text(
        json.dumps(
            {"objective": "Announce it", "inputs": {"audience": "developers"}, "outputs": ["brief"]}
        )
    )
    told = desk.hitl(
        "run", "body.json", "--input", "source=CHANGELOG.md", "--output", "drafts", "--json"
    )
    assert told.returncode == 0
    run = json.loads(told.stdout)
    assert set(run["result"]["outputs"]) == {"brief", "drafts"}
    assert run["facets"]["source"]["value"] == RELEASE


def test_a_wrong_key_is_told_in_one_line(desk: Desk) -> None:
    for arguments in (["pending"], desk.start):
        told = desk.hitl(*arguments, API_KEY="wrong")
        assert (told.returncode, told.stdout) == (1, "")
        assert (
            told.stderr
            == "hitl: The key is missing or wrong: send `Authorization: Bearer <API_KEY>`.\n"
        )


def test_what_the_server_refuses_is_told_in_one_line_and_starts_nothing(desk: Desk) -> None:
    for arguments, says in (
        (["run", "--objective", "x", "--thread", "nobody", "--output", "nonsense"], "nonsense"),
        (["show", "run_nobody"], "run_nobody"),
        (["answer", "hitl_nobody", "--approve"], "hitl_nobody"),
        (["cancel", "run_nobody", "--reason", "x"], "run_nobody"),
        (["run", "--objective", ""], "objective"),
    ):
        told = desk.hitl(*arguments)
        assert (told.returncode, told.stdout) == (1, "")
        (line,) = told.stderr.splitlines()
        assert says in line
    assert desk.hitl("pending", "--thread", "nobody").stdout == "Nothing waits for a person.\n"


def test_an_answer_that_does_not_fit_leaves_the_question_pending(desk: Desk) -> None:
    run = desk.paused()
    (desk.folder / "data.json").write_text("{}")
    told = desk.hitl("answer", str(run["pendingRequestId"]), "--data", "data.json")
    assert told.returncode == 1
    assert str(run["pendingRequestId"]) in told.stderr
    assert desk.at_rest(run["runId"])["pendingRequestId"] == run["pendingRequestId"]


def test_a_question_is_removed_and_a_run_cancelled(desk: Desk) -> None:
    first, second = desk.paused(), desk.paused()
    removed = desk.hitl("remove", str(first["pendingRequestId"]), "--reason", "by mistake")
    assert (removed.returncode, removed.stdout) == (
        0,
        f"Removed. Run {first['runId']} is cancelled.\n",
    )
    assert "denied: by mistake" in desk.hitl("show", first["runId"]).stdout
    cancelled = desk.hitl("cancel", second["runId"], "--reason", "wrong source", "--json")
    assert json.loads(cancelled.stdout)["status"] == "cancelled"
    assert "The run is cancelled: wrong source" in desk.hitl("show", second["runId"]).stdout
    assert desk.hitl("cancel", second["runId"], "--reason", "again").returncode == 1


# In a terminal


class Screen:
    """The command in a terminal of its own."""

    def __init__(self, desk: Desk, *arguments: str, **variables: str) -> None:
        self._terminal, inside = pty.openpty()
        termios.tcsetwinsize(inside, (60, 120))
        variables = environment(**{**desk.variables, **variables})
        self._process = subprocess.Popen(
            [HITL, *arguments],
            stdin=inside,
            stdout=inside,
            stderr=inside,
            cwd=desk.folder,
            env=variables,
        )
        os.close(inside)
        self._decoder = getincrementaldecoder("utf-8")()  # a character may come in two pieces
        self._unread = ""

    def expect(self, text: str, seconds: float = 30) -> str:
        """All up to and with the text."""
        until = time.monotonic() + seconds
        while text not in self._unread:
            assert self._read(until - time.monotonic()), (
                f"{text!r} did not come, but {self._unread!r}"
            )
        before, _, self._unread = self._unread.partition(text)
        return before + text

    def type(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def interrupt(self) -> None:
        self._process.send_signal(signal.SIGINT)

    def end(self) -> tuple[int, str]:
        """Exit code, and the rest of what was shown."""
        while self._read(30):
            pass
        return self._process.wait(30), self._unread

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._terminal)

    def _read(self, seconds: float) -> bool:
        if not select.select([self._terminal], [], [], max(0, seconds))[0]:
            return False
        try:
            read = os.read(self._terminal, 65536)
        except OSError:  # the command has ended
            return False
        self._unread = CSI.sub("", self._unread + self._decoder.decode(read)).replace("\r\n", "\n")
        return bool(read)


@contextmanager
def screen(desk: Desk, *arguments: str, **variables: str) -> Generator[Screen]:
    opened = Screen(desk, *arguments, **variables)
    try:
        yield opened
    finally:
        opened.close()


def test_a_run_is_followed_and_answered_in_the_terminal(desk: Desk) -> None:
    editor = desk.folder / "editor"
    editor.write_text(
        '#!/bin/sh\nsed -i \'s/"text": "[^"]*"/"text": "Edited in the terminal."/\' "$1"\n'
    )
    editor.chmod(0o755)
    with screen(desk, *desk.start, EDITOR=str(editor)) as terminal:
        terminal.expect("announcement.strategist asks")
        terminal.expect("skip (s)? ")
        terminal.type("77\n")
        terminal.expect("That is none of the options.")
        terminal.type("1\n")
        terminal.expect("answered by ann")
        terminal.expect("The action: ")
        terminal.expect("approve (a), edit (e), reject (r), skip (s)? ")
        terminal.type("e\n")
        terminal.expect("Approving now sends:")
        terminal.expect("text: Edited in the terminal.")
        terminal.expect("skip (s)? ")
        terminal.type("a\n")
        code, rest = terminal.end()
    assert code == 0
    assert "The run is completed." in rest
    assert re.search(r"published, in the server's outbox\s+\S+/\S+", rest)


def test_a_question_left_to_others_ends_with_3(desk: Desk) -> None:
    with screen(desk, *desk.start) as terminal:
        terminal.expect("skip (s)? ")
        terminal.type("s\n")
        code, rest = terminal.end()
    assert code == 3
    assert re.search(r"Left pending. Answer it with: hitl answer hitl_\w+ --option ID", rest)


def test_an_interrupt_leaves_the_run_going(desk: Desk) -> None:
    with screen(desk, *desk.start) as terminal:
        terminal.expect("skip (s)? ")
        terminal.interrupt()
        code, rest = terminal.end()
    assert code == 130
    run_id = re.search(r"The run goes on without you. Come back with: hitl show (\w+)", rest)
    assert run_id
    assert desk.at_rest(run_id[1])["status"] == "awaiting_hitl"


def test_a_question_that_somebody_else_answers_is_given_up(desk: Desk) -> None:
    with screen(desk, *desk.start, "--thread", "shared") as terminal:
        terminal.expect("skip (s)? ")
        (request,) = pending(desk.api.newest_run("shared"))
        desk.api.resume(request, {"selectedOptionId": request["options"][0]["id"]}, "bob")
        terminal.expect("Somebody else has ended this question.")
        terminal.expect("answered by bob")
        terminal.expect("reject (r), skip (s)? ")
        desk.api.cancel(request["runId"], {"reason": "enough"})
        code, rest = terminal.end()
    assert code == 1
    assert "The run is cancelled: enough" in rest


def test_a_rejection_is_an_answer(desk: Desk) -> None:
    with screen(desk, *desk.start_with_audience) as terminal:
        terminal.expect("approve (a), edit (e), reject (r), skip (s)? ")
        terminal.type("e\n")
        terminal.expect("A file with the JSON arguments: ")  # there is no editor
        terminal.type("missing.json\n")
        terminal.expect("missing.json cannot be read: No such file or directory")
        terminal.expect("again (a), drop (d), skip (s)? ")
        terminal.type("d\n")
        terminal.expect("reject (r), skip (s)? ")
        terminal.type("r\n")
        terminal.expect("The reason (may be empty): ")
        terminal.type("not before Monday\n")
        code, rest = terminal.end()
    assert code == 0
    assert "announcement.publisher: not before Monday" in rest


def asked(facet: str) -> list[str]:
    return ["run", "--objective", "x", "--output", facet]


def test_a_text_of_several_lines_is_typed(desk: Desk) -> None:
    with screen(desk, *asked("words")) as terminal:
        terminal.expect("begin with a line that is only r or s.\n")
        terminal.type("first line\nsecond line\n\n")
        code, rest = terminal.end()
    assert code == 0
    assert re.search(r"words\s+first line\s+second line", rest)


def test_a_choice_may_be_answered_in_own_words(desk: Desk) -> None:
    with screen(desk, *asked("open_choice")) as terminal:
        terminal.expect("Your choice, or your own words; reject (r) or skip (s)? ")
        terminal.type("cake, please\n")
        code, rest = terminal.end()
    assert code == 0
    assert re.search(r"open_choice\s+cake, please", rest)


def test_a_form_is_filled_in_line_by_line_until_it_fits(desk: Desk) -> None:
    with screen(desk, *asked("form")) as terminal:
        for name, seats in (
            ("much too long a name", "0"),
            ("Ann", "3"),
        ):  # the server refuses the first, and is asked again
            terminal.expect("fill in (f), json file (j), reject (r), skip (s)? ")
            terminal.type("f\n")
            terminal.expect("name — who comes (string): ")
            terminal.type(f"{name}\n")
            terminal.expect("seats (integer): ")
            terminal.type("many\n")
            terminal.expect("That is no number.")
            terminal.type(f"{seats}\n")
            terminal.expect("day (Monday / 2; may be empty): ")
            terminal.type("2\n")
            terminal.expect("price (number; may be empty): ")
            terminal.type("\n")
            terminal.expect("vegan (yes / no; Enter for no): ")
            terminal.type("y\n")
        code, rest = terminal.end()
    assert code == 0
    assert re.search(r"form\s+name: Ann\s+seats: 3\s+day: 2\s+vegan: true", rest)


def test_a_form_that_no_line_can_hold_is_read_from_a_file(desk: Desk) -> None:
    (desk.folder / "tags.json").write_text('{"tags": ["a"]}')
    with screen(desk, *asked("nested")) as terminal:
        terminal.expect("json file (j), reject (r), skip (s)? ")
        terminal.type("j\n")
        terminal.expect("The file: ")
        terminal.type("missing.json\n")
        terminal.expect("missing.json cannot be read: No such file or directory")
        terminal.type("tags.json\n")
        code, rest = terminal.end()
    assert code == 0
    assert re.search(r"nested\s+tags:\s+- a", rest)
