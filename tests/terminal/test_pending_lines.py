"""`hitl pending` and the other lists as they look: few and many, narrow and wide, on a terminal and
for programs.
"""

import json
import re
from collections.abc import Callable, Generator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from rich.cells import cell_len

from tests.processes import AGENTS, Running, serving
from tests.terminal.desk import Desk
from tests.terminal.screen import screen

# What was asked once, so many times more: each with an id that is always the same, and an hour
# older than the one before it.
FILL_RUNS = """INSERT INTO orchestrator_runs SELECT copy.* FROM orchestrator_runs r,
    generate_series(1, %(count)s::int) AS n, jsonb_populate_record(r, jsonb_build_object(
        'run_id', 'run_' || md5('run' || n), 'thread_id', 'thread ' || n,
        'status', 'awaiting_hitl', 'settings', r.settings::jsonb || jsonb_build_object(
            'runId', 'run_' || md5('run' || n), 'threadId', 'thread ' || n,
            'objective', 'Announce “Größe 東京”, release 2.' || n || chr(10) || ' to all who ask'),
        'pending_urgency', CASE WHEN n %% 7 = 0 THEN 2 ELSE 1 END,
        'pending_since', now() - n * interval '1 hour' - interval '30 minutes',
        'created_at', now() - n * interval '1 hour' - interval '30 minutes')) AS copy
    WHERE r.thread_id = 'template'"""
FILL_QUESTIONS = """INSERT INTO hitl_requests SELECT copy.* FROM hitl_requests q,
    generate_series(1, %(count)s::int) AS n, jsonb_populate_record(q, jsonb_build_object(
        'request_id', 'hitl_' || md5('hitl' || n), 'run_id', 'run_' || md5('run' || n),
        'thread_id', 'thread ' || n, 'status', 'pending', 'settled', NULL, 'resolved_by', NULL,
        'resolved_at', NULL, 'delivered_at', NULL, 'denial_reason', NULL,
        'urgency', CASE WHEN n %% 7 = 0 THEN 'high' ELSE 'normal' END,
        'request', q.request::jsonb || jsonb_build_object(
            'requestId', 'hitl_' || md5('hitl' || n), 'runId', 'run_' || md5('run' || n),
            'threadId', 'thread ' || n,
            'urgency', CASE WHEN n %% 7 = 0 THEN 'high' ELSE 'normal' END,
            'question', 'Whom should announcement ' || n || ' address, and in whose words?'),
        'created_at', now() - n * interval '1 hour' - interval '30 minutes')) AS copy
    WHERE q.thread_id = 'template'"""


@pytest.fixture(scope="module")
def database(postgres: str) -> str:
    name = f"test_{uuid4().hex}"
    with psycopg.connect(postgres, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return make_conninfo(postgres, dbname=name)


@pytest.fixture(scope="module")
def server(database: str) -> Generator[Running]:
    with serving(database, str(AGENTS / "asks.py") + ":agent") as running, running.client() as api:
        asked = {"question": "?", "kind": "freeform"}
        body = {"objective": "x", "threadId": "template", "inputs": {"question": asked}}
        run = api.post("/api/runs?wait=20", json=body).json()
        api.post(f"/api/runs/{run['runId']}/cancel", json={"reason": "a template"})
        yield running


@pytest.fixture
def fill(database: str) -> Callable[[int], None]:
    """Let so many questions wait."""

    def fill(count: int) -> None:
        with psycopg.connect(database) as conn:
            conn.execute("DELETE FROM orchestrator_runs WHERE thread_id <> 'template'")
            conn.execute(FILL_RUNS, {"count": count})
            conn.execute(FILL_QUESTIONS, {"count": count})

    return fill


def pending(desk: Desk, *arguments: str, width: int = 80, **variables: str) -> list[str]:
    """Return the lines that somebody sees in a terminal."""
    variables = {"PAGER": "cat", **variables}
    with screen(desk, "pending", *arguments, width=width, **variables) as terminal:
        code, shown = terminal.end()
    assert code == 0, shown
    return shown.splitlines()


HINT = "Answer one with: hitl answer ID; look at it: hitl show ID"
FIRST_ROWS = {
    (1, 60): """\
Request        Waits  Urgency  Objective  Question
hitl_29b46885  1 h    normal   Announce…  Whom should annou…
""",
    (1, 80): """\
Request        Waits  Urgency  Objective        Question
hitl_29b46885  1 h    normal   Announce “Größ…  Whom should announcement 1 addr…
""",
    (1, 200): """\
Request        Waits  Urgency  Objective                                          Question
hitl_29b46885  1 h    normal   Announce “Größe 東京”, release 2.1 to all who ask  \
Whom should announcement 1 address, and in whose words?
""",
    (200, 60): """\
Request        Waits  Urgency  Objective  Question
hitl_8eb4017c  8 d    high     Announce…  Whom should annou…
hitl_7fd3b2d8  7 d    high     Announce…  Whom should annou…
""",
    (200, 80): """\
Request        Waits  Urgency  Objective        Question
hitl_8eb4017c  8 d    high     Announce “Größ…  Whom should announcement 196 ad…
hitl_7fd3b2d8  7 d    high     Announce “Größ…  Whom should announcement 189 ad…
""",
    (200, 200): """\
Request        Waits  Urgency  Objective                                            Question
hitl_8eb4017c  8 d    high     Announce “Größe 東京”, release 2.196 to all who ask  \
Whom should announcement 196 address, and in whose words?
""",
    (10_000, 60): """\
Request        Waits  Urgency  Objective  Question
hitl_3f923ef5  416 d  high     Announce…  Whom should annou…
""",
    (10_000, 80): """\
Request        Waits  Urgency  Objective        Question
hitl_3f923ef5  416 d  high     Announce “Größ…  Whom should announcement 9996 a…
hitl_3f7109b5  416 d  high     Announce “Größ…  Whom should announcement 9989 a…
""",
    (10_000, 200): """\
Request        Waits  Urgency  Objective                                             Question
hitl_3f923ef5  416 d  high     Announce “Größe 東京”, release 2.9996 to all who ask  \
Whom should announcement 9996 address, and in whose words?
""",
}


def test_nothing_waits(desk: Desk, fill: Callable[[int], None]) -> None:
    fill(0)
    for width in (60, 80, 200):
        assert pending(desk, width=width) == ["Nothing waits for a person."]
    told = desk.hitl("pending")
    assert (told.returncode, told.stdout) == (0, "")
    assert told.stderr == "Nothing waits for a person.\n"
    assert json.loads(desk.hitl("pending", "--json").stdout) == {"runs": [], "nextCursor": None}


@pytest.mark.parametrize("count", [1, 200, 10_000])
def test_each_question_is_a_line_as_wide_as_the_terminal(
    count: int, desk: Desk, fill: Callable[[int], None]
) -> None:
    fill(count)
    length = "1 question."
    if count > 50:
        length = f"50 of {count:,} questions; --all shows all."
    for width in (60, 80, 200):
        *lines, last, hint = pending(desk, width=width)
        first = FIRST_ROWS[count, width].splitlines()
        assert lines[: len(first)] == first
        assert (last, hint) == (length, HINT)
        assert len(lines) == 1 + min(count, 50)
        assert max(map(cell_len, [*lines, last, hint])) <= width


def test_all_are_listed_once_in_the_queues_order(desk: Desk, fill: Callable[[int], None]) -> None:
    fill(10_000)
    told = desk.hitl("pending", "--all")
    assert (told.returncode, told.stderr) == (0, "")
    rows = [line.split("\t") for line in told.stdout.splitlines()]
    assert len({row[0] for row in rows}) == len(rows) == 10_000
    assert {len(row) for row in rows} == {6}
    assert [(row[2] != "high", row[1]) for row in rows] == sorted(
        (row[2] != "high", row[1]) for row in rows
    )
    request_id, since, *rest = rows[0]
    assert re.fullmatch(r"hitl_3f923ef5[0-9a-f]{24}", request_id)
    assert datetime.fromisoformat(since) < datetime.now(UTC) - timedelta(days=416)
    assert rest == [
        "high",
        "asks",
        "Announce “Größe 東京”, release 2.9996 to all who ask",
        "Whom should announcement 9996 address, and in whose words?",
    ]


def test_programs_get_tabs_and_are_told_beside_them_what_is_left_out(
    desk: Desk, fill: Callable[[int], None]
) -> None:
    fill(200)
    told = desk.hitl("pending", "--limit", "3", LC_ALL="C")
    assert [line.count("\t") for line in told.stdout.splitlines()] == [5, 5, 5]
    assert "Größe 東京" in told.stdout
    assert told.stderr == "3 of 200 questions; --all shows all.\n"
    queue = json.loads(desk.hitl("pending", "--limit", "3", "--json").stdout)
    assert (len(queue["runs"]), queue["nextCursor"] is None) == (3, False)


@pytest.mark.parametrize(
    ("arguments", "count", "last"),
    [
        (["--urgency", "high", "--limit", "2"], 2, "2 of 28 questions; --all shows all."),
        (["--agent", "asks", "--limit", "9"], 9, "9 of 200 questions; --all shows all."),
        (["--agent", "nobody"], 0, "Nothing waits for a person."),
        (["--thread", "thread 7"], 1, "1 question."),
        (["--urgency", "high", "--agent", "asks", "--limit", "1"], 1,
            "1 question and more; --all shows all."),
        (["--all"], 200, "200 questions."),
    ],
)  # fmt: skip
def test_what_is_looked_for_is_counted(
    arguments: list[str], count: int, last: str, desk: Desk, fill: Callable[[int], None]
) -> None:
    fill(200)
    lines = pending(desk, *arguments)
    assert len([line for line in lines if line.startswith("hitl_")]) == count
    assert last in lines


def test_a_terminal_whose_locale_is_c_gets_ascii(desk: Desk, fill: Callable[[int], None]) -> None:
    fill(1)
    assert pending(desk, LC_ALL="C") == [
        "Request        Waits  Urgency  Objective        Question",
        'hitl_29b46885  1 h    normal   Announce "Gr??~  Whom should announcement 1 addr~',
        "1 question.",
        HINT,
    ]


def test_colours_can_be_switched_off(desk: Desk, fill: Callable[[int], None]) -> None:
    fill(200)
    colour = re.compile(r"\x1b\[(?:\d+;)*[349]\d")
    shown: list[str] = []
    for variables in (dict[str, str](), {"NO_COLOR": "1"}):
        with screen(desk, "pending", "--limit", "2", width=80, **variables) as terminal:
            shown.append(terminal.end()[1])
            assert bool(colour.search(terminal.raw)) is not bool(variables)
    assert shown[0] == shown[1]


def test_what_is_longer_than_the_screen_goes_through_a_pager(
    desk: Desk, fill: Callable[[int], None]
) -> None:
    fill(200)
    pager = desk.folder / "pager"
    pager.write_text("#!/bin/sh\necho PAGED; cat\n")
    pager.chmod(0o755)
    assert pending(desk, PAGER=str(pager))[0].startswith("Request")
    paged = pending(desk, "--all", PAGER=str(pager), LC_ALL="C")
    assert paged[0] == "PAGED"
    assert 'Announce "Gr??~' in paged[2]


def test_ids_are_found_by_what_only_they_begin_with(
    desk: Desk, fill: Callable[[int], None]
) -> None:
    fill(10_000)
    shown = desk.hitl("show", "hitl_29b46885")
    assert "Whom should announcement 1 address" in shown.stdout
    for command in (["show"], ["answer", "--text", "x"], ["deny", "--reason", "x"]):
        told = desk.hitl(*command, "hitl_29b")
        assert (told.returncode, told.stdout) == (2, "")
        assert told.stderr.startswith("hitl: Several ids begin with hitl_29b: hitl_29b")
        unknown = desk.hitl(*command, "hitl_zzz")
        assert (unknown.returncode, unknown.stdout) == (1, "")
        assert "hitl_zzz" in unknown.stderr
    removed = desk.hitl("remove", "hitl_29b46885", "--reason", "x")
    assert removed.stdout.startswith("Removed. Run run_"), removed.stderr
    run_id = removed.stdout.split()[2]
    retried = desk.hitl("retry", run_id[:14])
    assert f"{run_id} is cancelled; only a failed run" in retried.stderr


def test_a_shell_completes_ids(desk: Desk, fill: Callable[[int], None]) -> None:
    fill(200)
    for typed, word, begins in (
        ("hitl answer hitl_29b4", "2", "hitl_29b46885"),
        ("hitl cancel run_", "2", "run_"),
        ("hitl show ", "2", "hitl_"),
        ("hitl capab", "1", "capabilities"),
    ):
        variables = {"_HITL_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": word}
        offered = desk.hitl(**variables).stdout.split()
        assert any(each.startswith(begins) for each in offered), (typed, offered)
    asked = {"_TYPER_COMPLETE_ARGS": "hitl answer hitl_29b4", "_HITL_COMPLETE": "complete_zsh"}
    offered = desk.hitl(**asked).stdout.strip()
    only_ids = r"""_arguments '\*: :\(\("hitl_29b46885\w{24}"\)\)'"""
    assert re.fullmatch(only_ids, offered)
    away = {**variables, "COMP_WORDS": "hitl answer hitl_", "COMP_CWORD": "2"}
    told = desk.hitl(**away, HITL_URL="http://127.0.0.1:1")
    assert (told.stdout.strip(), told.stderr) == ("", "")


def test_runs_and_capabilities_are_listed(desk: Desk, fill: Callable[[int], None]) -> None:
    fill(200)
    with screen(desk, "runs", "--limit", "2", width=80) as terminal:
        lines = terminal.end()[1].splitlines()
    assert lines[0].split() == ["Run", "Status", "Age", "Objective"]
    assert re.match(r"run_[0-9a-f]{8}  cancelled      \d+ s +x$", lines[1])
    assert re.match(r"run_[0-9a-f]{8}  awaiting_hitl  1 h +Announce “Größe 東京”, rel", lines[2])
    assert lines[3] == "2 runs and more; --all shows all."
    told = desk.hitl("runs", "--all", "--status", "awaiting_hitl")
    assert [line.split("\t")[1] for line in told.stdout.splitlines()] == ["awaiting_hitl"] * 200
    assert desk.hitl("runs", "--thread", "nobody").stderr == "There are no such runs.\n"
    run = json.loads(desk.hitl("runs", "--thread", "template", "--json").stdout)["runs"][0]
    assert run["objective"] == "x"
    (line,) = desk.hitl("capabilities").stdout.splitlines()
    assert line.split("\t")[0] == "asks"
    with screen(desk, "capabilities", width=80) as terminal:
        assert terminal.end()[1].splitlines()[0].split()[0] == "Capability"
