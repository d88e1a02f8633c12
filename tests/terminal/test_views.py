"""What is drawn: all that decides, and nothing that what agents wrote could steer."""

import json
import re
from io import StringIO
from typing import Any

import pytest
from rich.text import Text

from hitl_orchestrator.server.terminal.command import print_json
from hitl_orchestrator.server.terminal.console import Terminal
from hitl_orchestrator.server.terminal.decisions import describe_decision
from hitl_orchestrator.server.terminal.lists import draw_queue, list_waiting
from hitl_orchestrator.server.terminal.question_views import (
    draw_question,
    draw_request,
    drop_repeated,
)
from hitl_orchestrator.server.terminal.run_views import (
    STILL_WORKING,
    draw_frame,
    draw_plan,
    draw_result,
    draw_run,
)
from hitl_orchestrator.server.terminal.wire import FrameJson, RequestJson
from tests.terminal.samples import NOW, ended_run, paused, request, shown, step
from tests.terminal.screen import CSI


def draw_waiting(asked: RequestJson) -> Text:
    return draw_queue(list_waiting([paused(asked)]), NOW, Terminal(StringIO(), width=500))


def without_trailing_blanks(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.splitlines())


def test_a_question_is_shown_with_all_that_decides_it() -> None:
    text = shown(draw_question(request(), boxed=True))
    for part in (
        "announcement.strategist asks · high",
        "Whom to address?",
        "Drawn from the source.",
        "1) Developers — who build on it dev",
        "2) Operators",
        "Choose one of 2 options.",
        "takes objective and makes brief",
        "hitl_1",
    ):
        assert part in text


def test_an_open_question_shows_all_that_the_agent_handed_over() -> None:
    payload = {"message": "Pay?", "payee": "Ann", "sum": 900}
    asked = request(kind="open", question="Pay?", options=[], payload=payload)
    text = shown(draw_request(asked, True, ended_run()))
    for part in ("Handed over by the agent:", "payee: Ann", "sum: 900", "--value JSON"):
        assert part in text


@pytest.mark.parametrize(
    ("payload", "is_shown"),
    [
        ({"question": "Pay?", "kind": "approval", "payee": "Ann"}, True),
        ({"question": "Pay?", "kind": "approval", "urgency": "high"}, False),
        ({"action_requests": [{"name": "pay"}], "review_configs": []}, False),
        (None, False),
    ],
)
def test_of_other_questions_what_is_not_drawn_already(payload: Any, is_shown: bool) -> None:
    text = shown(draw_question(request(kind="approval", payload=payload), boxed=False))
    assert ("Handed over by the agent:" in text) is is_shown


def test_a_question_that_expires_says_when() -> None:
    text = shown(draw_question(request(expiresAt="2026-11-23T12:00:00Z"), boxed=False))
    assert re.search(r"makes brief; expires 2026-11-2\d \d\d:00:00", text)


def test_what_the_api_may_leave_out_is_not_missed() -> None:
    optional = ("options", "allowFreeForm", "urgency", "additionalContext", "action", "expiresAt")
    asked: Any = request()
    for name in (*optional, "responseSchema", "denialReason", "createdAt", "responses"):
        del asked[name]
    assert "announcement.strategist asks · normal" in shown(draw_question(asked, boxed=True))
    assert "Whom to address?" in shown(draw_request(asked, False, ended_run()))
    assert "hitl_1" in shown(draw_waiting(asked))
    assert "hitl_1" in shown(draw_run(ended_run(requests=[asked], result={"outputs": {}})))


def test_options_whose_ids_are_numbers_are_chosen_by_id() -> None:
    options = [
        {"id": "2", "label": "Two", "description": None},
        {"id": "1", "label": "One", "description": None},
    ]
    text = shown(draw_question(request(options=options), boxed=False))
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
    text = shown(draw_question(request(kind="approval", options=[], action=action), boxed=False))
    wanted = (
        "The action: publish\n"
        "  posts:\n"
        "    - channel: x\n"
        "      text:\n"
        "        First line\n"
        "        Second line\n"
        "    - channel: email\n"
        "      tags: []\n"
        "  dry: false\n"
        "  to: {}\n"
    )
    assert wanted in without_trailing_blanks(text)


HOSTILE = (
    "\x1b[2J\x1b]0;owned\x07\x9b31m\u202etxt.exe\x00 [red]not markup[/red] :warning: &#27;[31m"
)
STEERING = "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"


@pytest.mark.parametrize("boxed", [True, False])
def test_what_agents_write_is_text_and_never_obeyed(boxed: bool) -> None:
    hostile = request(
        question=HOSTILE,
        operatorPrompt=HOSTILE,
        originAgent=HOSTILE,
        requestId=HOSTILE,
        denialReason=HOSTILE,
        urgency=HOSTILE,
        additionalContext=HOSTILE + "\n\n[link](http://evil.example)",
        options=[{"id": HOSTILE, "label": HOSTILE, "description": HOSTILE}],
        responseSchema={HOSTILE: HOSTILE},
        action={"name": HOSTILE, "arguments": {HOSTILE: HOSTILE}, "allowedDecisions": []},
    )
    run = ended_run(
        objective=HOSTILE, requests=[hostile], error={"message": HOSTILE}, status="failed"
    )
    frame: FrameJson = {
        "type": "warning",
        "at": "2026-11-22T09:00:00Z",
        "message": HOSTILE + "\nforged line",
        "data": {},
    }
    for view in (
        draw_question(hostile, boxed),
        draw_request(hostile, boxed, ended_run()),
        draw_run(run),
        draw_frame(frame),
        draw_waiting(hostile),
    ):
        text = shown(view)
        assert not re.search(STEERING, text)
        assert "[red]not markup[/red]" in " ".join(text.split())
        colored = CSI.sub("", shown(view, color=True))
        assert not re.search(STEERING, colored)
    assert "http://evil.example" in shown(draw_question(hostile, boxed))


def test_json_is_escaped_where_it_would_steer(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    said = {"label": HOSTILE + "\x9b2J\u061c\u2067\u2028 ü 東 \ud800"}
    print_json(said)
    printed = capfdbinary.readouterr().out.decode()
    assert not re.search(STEERING, printed)
    assert json.loads(printed) == said
    assert "ü 東" in printed


def test_a_frame_is_one_line_whatever_it_says() -> None:
    frame: FrameJson = {
        "type": "message",
        "at": "2026-11-22T09:00:00.123Z",
        "message": "a\nhitl: b",
        "data": {},
    }
    assert str(draw_frame(frame)).endswith("message     a hitl: b")


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
    frame: FrameJson = {
        "type": "handoff",
        "at": "2026-11-22T09:00:00Z",
        "message": message,
        "data": data,
    }
    assert str(draw_frame(frame)).endswith(f"handoff     {line}")


def test_a_plan_ticks_off() -> None:
    plan = ended_run()["plan"]
    assert plan
    lines = [line.split() for line in shown(draw_plan(plan["steps"])).splitlines()]
    assert lines == [
        ["✔", "Writer", "desk.writer"],
        ["✘", "Publisher", "desk.publisher", "(not", "today)"],
        ["–", "Mailer", "desk.mailer"],
    ]


def test_a_step_at_work_says_what_it_said_last() -> None:
    steps: list[Any] = [
        step("writer", "running"),
        step("publisher", "completed"),
        step("mailer", "running"),
    ]
    said = {"s_writer": "page 1\x1b[2J\nof 2", "s_publisher": "published"}
    lines = [line.split() for line in shown(draw_plan(steps, lines=said)).splitlines()]
    assert [line[2:] for line in lines] == [
        ["desk.writer:", "page", "1[2J", "of", "2"],
        ["desk.publisher"],
        ["desk.mailer"],
    ]


def test_a_result_names_what_was_made_and_what_was_not() -> None:
    text = shown(draw_result(ended_run()))
    for part in (
        "The run is completed.",
        "published, in the server's outbox\n  run_1/x.txt",
        "brief\n  audience: dev",
        "Not done\n  desk.publisher: not today",
    ):
        assert part in without_trailing_blanks(text)


def test_a_failed_and_a_cancelled_run_say_why() -> None:
    assert "The run is failed: no writer" in shown(
        draw_result(ended_run(status="failed", error={"message": "no writer"}, result=None))
    )
    log = {
        "auditLog": [
            {"action": "start", "reason": None},
            {"action": "cancel", "reason": "changed my mind"},
        ]
    }
    assert "The run is cancelled: changed my mind" in shown(
        draw_result(ended_run(status="cancelled", result=None, metadata=log))
    )


def test_a_run_that_could_not_be_stopped_says_so() -> None:
    told = shown(draw_result(ended_run(status="cancelled", result=None, stillWorking=True)))
    assert STILL_WORKING in " ".join(told.split())


@pytest.mark.parametrize(
    ("context", "kept"),
    [
        ("Checked.\n\n**x**\n\n> First line  \n> Second *line*  ", "Checked.\n\n> First line  \n"
            "> Second *line*  "),
        ("Checked.\n\n**x**\n\n> First line  \n> Second line  \n>\n> #tag", "Checked."),
        ("Checked.\n\nSubject: Hello", "Checked."),
        ("First line and more", "First line and more"),
        ("First line\n\nWait, no.", "Wait, no."),
        ("", ""),
    ],
)  # fmt: skip
def test_of_a_context_only_what_the_arguments_show_is_left_out(context: str, kept: str) -> None:
    post = {"channel": "x", "subject": "Hello", "text": "First line\nSecond line\n\n#tag"}
    action: Any = {"name": "publish", "arguments": {"posts": [post]}}
    asked = request(kind="approval", options=[], action=action, additionalContext=context)
    assert drop_repeated(context, asked) == kept
    assert drop_repeated(context, request()) == context


DECIDED = {"responseType": "option", "selectedOptionId": "dev", "responderId": "ada"}
DECISIONS: list[Any] = [
        ({"status": "pending"}, {}, ""),
        ({"status": "resolved", "responses": [DECIDED]}, {}, "ada chose “Developers”"),
        (
            {"status": "resolved", "responses": [{"responseType": "approval",
                "editedArguments": {}, "responderId": None}]},
            {"action": "resume", "operator": {"id": "a", "displayName": "Ada"}, "note": "so"},
            "Ada (a) approved it with changed arguments (note: so)",
        ),
        ({"status": "denied", "denialReason": "Too many"}, {}, "a guard denied it: “Too many”"),
        ({"status": "denied", "denialReason": "Expired"}, {"action": "expire"},
            "nobody answered in time"),
        ({"status": "denied", "denialReason": "r"}, {"action": "cancel"},
            "closed without an answer: “r”"),
        ({"status": "denied", "denialReason": "r"}, {"action": "cancel", "operator": {"id": "a"}},
            "a cancelled the run: “r”"),
]  # fmt: skip


@pytest.mark.parametrize(("asked", "entry", "said"), DECISIONS)
def test_a_decision_is_told_in_a_line(
    asked: dict[str, Any], entry: dict[str, Any], said: str
) -> None:
    log = [{"requestId": "hitl_1", "operator": None, "note": None, **entry}] if entry else []
    run = ended_run(metadata={"auditLog": log})
    assert describe_decision(request(**asked), run) == said
