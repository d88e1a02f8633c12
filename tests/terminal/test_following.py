"""A run followed in a terminal, its questions answered by typing."""

import io
import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hitl_orchestrator.server.terminal.client import Api
from hitl_orchestrator.server.terminal.console import Terminal
from hitl_orchestrator.server.terminal.discovery import Server
from hitl_orchestrator.server.terminal.following import Feed, watch
from hitl_orchestrator.server.terminal.keyboard import LOOK_SECONDS
from hitl_orchestrator.server.terminal.wire import FrameJson, select_pending
from tests.terminal.commands import HITL, environment
from tests.terminal.desk import Desk, asked
from tests.terminal.screen import Screen, screen


class LateFrames(Api):
    """Of a run that stands at its question, the frames are still on their way."""

    def frames(self, run_id: str) -> Iterator[FrameJson]:
        for frame in super().frames(run_id):
            time.sleep(0.1)
            yield frame


def send_back(terminal: Screen, shown: str) -> None:
    """See one's own words once more, and send them."""
    terminal.expect(shown)
    terminal.expect("yes (y), again (a), skip (s), help (?): ")
    terminal.type("y\n")


def test_a_run_is_followed_and_answered_in_the_terminal(desk: Desk) -> None:
    editor = desk.folder / "editor"
    editor.write_text(
        '#!/bin/sh\nsed -i \'s/"text": "[^"]*"/"text": "Edited in the terminal."/\' "$1"\n'
    )
    editor.chmod(0o755)
    with screen(desk, *desk.start, EDITOR=str(editor)) as terminal:
        terminal.expect("announcement.strategist asks")
        terminal.expect("skip (s), help (?): ")
        terminal.type("77\n")
        terminal.expect("That is not one of the options.")
        terminal.type("1\n")
        terminal.expect("answered by ann")
        terminal.expect("The action: ")
        terminal.expect("approve (a), edit (e), reject (r), skip (s), help (?): ")
        terminal.type("e\n")
        terminal.expect("Approving now sends:")
        terminal.expect("text: Edited in the terminal.")
        terminal.expect("skip (s), help (?): ")
        terminal.type("a\n")
        code, rest = terminal.end()
    assert code == 0
    assert "The run is completed." in rest
    assert re.search(r"published, in the server's outbox\s+\S+/\S+", rest)


def test_what_a_step_says_stands_beside_it_while_it_works(desk: Desk) -> None:
    with screen(desk, *asked("told")) as terminal:
        assert "● " not in terminal.expect("asks.told: page 1 of 2").splitlines()[-1]
        code, rest = terminal.end()
    assert code == 0
    assert "words: completed" in rest
    assert not re.search(r"message .*page", rest)


def test_without_a_terminal_each_line_is_printed(desk: Desk) -> None:
    done = desk.hitl(*asked("told"))
    said = [line.split("message")[1].strip() for line in done.stdout.splitlines() if "page" in line]
    assert said == ["asks.told: page 1 of 2", "asks.told: page 2 of 2"]


def test_a_question_left_to_others_ends_with_3(desk: Desk) -> None:
    with screen(desk, *desk.start) as terminal:
        terminal.expect("skip (s), help (?): ")
        terminal.type("s\n")
        code, rest = terminal.end()
    assert code == 3
    assert re.search(r"Left pending. Answer it with: hitl answer hitl_\w+ --option ID", rest)


def test_an_interrupt_leaves_the_run_going(desk: Desk) -> None:
    with screen(desk, *desk.start) as terminal:
        terminal.expect("skip (s), help (?): ")
        terminal.interrupt()
        code, rest = terminal.end()
    assert code == 130
    run_id = re.search(r"The run goes on without you. Come back with: hitl follow (\w+)", rest)
    assert run_id
    assert desk.at_rest(run_id[1])["status"] == "awaiting_hitl"


def test_a_question_that_somebody_else_answers_is_given_up(desk: Desk) -> None:
    with screen(desk, *desk.start, "--thread", "shared") as terminal:
        terminal.expect("skip (s), help (?): ")
        (request,) = select_pending(desk.api.newest_run("shared"))
        first = request.get("options", [])[0]
        desk.api.resume(request, {"selectedOptionId": first["id"]}, "bob")
        terminal.expect("Somebody else has ended this question.")
        terminal.expect("answered by bob")
        terminal.expect("reject (r), skip (s), help (?): ")
        desk.api.cancel(request["runId"], {"reason": "enough"})
        code, rest = terminal.end()
    assert code == 1
    assert "The run is cancelled: enough" in rest


def test_a_rejection_is_an_answer(desk: Desk) -> None:
    no_editor = str(Path(HITL).parent)
    with screen(desk, *desk.start_with_audience, PATH=no_editor) as terminal:
        terminal.expect("approve (a), edit (e), reject (r), skip (s), help (?): ")
        terminal.type("e\n")
        terminal.expect("A file with the JSON arguments: ")
        terminal.type("missing.json\n")
        terminal.expect("missing.json cannot be read: No such file or directory")
        terminal.expect("again (a), drop (d), skip (s), help (?): ")
        terminal.type("d\n")
        terminal.expect("reject (r), skip (s), help (?): ")
        terminal.type("r\n")
        terminal.expect("The reason (may be empty): ")
        terminal.type("not before Monday\n")
        send_back(terminal, "You reject it and say why:\n  not before Monday\nSend it?")
        code, rest = terminal.end()
    assert code == 0
    assert "announcement.publisher: not before Monday" in rest


def test_a_text_of_several_lines_is_typed(desk: Desk) -> None:
    with screen(desk, *asked("words")) as terminal:
        terminal.expect("begin with a line that is only r or s; ? is help.\n")
        terminal.type("first line\nsecond line\n\n")
        send_back(terminal, "Your answer:\n  first line\n  second line\nSend it?")
        code, rest = terminal.end()
    assert code == 0
    assert re.search(r"words\s+first line\s+second line", rest)


def test_a_choice_may_be_answered_in_own_words(desk: Desk) -> None:
    with screen(desk, *asked("open_choice")) as terminal:
        terminal.expect("Your choice, or your own words; reject (r), skip (s), help (?): ")
        terminal.type("cake, please\n")
        send_back(terminal, "Your answer:\n  cake, please\nSend it?")
        code, rest = terminal.end()
    assert code == 0
    assert re.search(r"open_choice\s+cake, please", rest)


YES = "yes (y), again (a), skip (s), help (?): "
VERBS = "approve (a), choose (c), text (t), json (j), reject (r), skip (s), help (?): "


@pytest.mark.parametrize(
    ("dialogue", "made"),
    [
        ([(VERBS, "a")], "- true"),
        ([(VERBS, "c"), ("Your choice; reject (r), skip (s), help (?): ", "2")], "- young"),
        ([(VERBS, "t"), ("> ", "thirty\n"), (YES, "y")], "- thirty"),
        ([(VERBS, "j"), ("JSON: ", "nonsense"), ("JSON: ", "false")], "- false"),
    ],
)
def test_an_open_question_is_answered_by_anything(
    desk: Desk, dialogue: list[tuple[str, str]], made: str
) -> None:
    with screen(desk, *asked("anything")) as terminal:
        terminal.expect("sum: 900")
        for prompt, line in dialogue:
            terminal.expect(prompt)
            terminal.type(f"{line}\n")
        code, rest = terminal.end()
    assert code == 0
    assert made in rest


def test_any_json_is_given_on_the_command_line(desk: Desk) -> None:
    started = desk.hitl(*asked("anything"))
    found = re.search(r"hitl answer (hitl_\w+) --approve, --text TEXT", started.stdout)
    assert found, started.stdout
    wrong = desk.hitl("answer", found[1], "--value", "perhaps")
    assert wrong.returncode == 2
    assert "--value 'perhaps' is not JSON" in wrong.stderr
    assert desk.hitl("answer", found[1], "--value", "false").returncode == 0
    run = desk.at_rest(desk.api.request(found[1])["runId"])
    assert (run.get("result") or {})["outputs"] == {"anything": [False]}


def test_a_form_is_filled_in_line_by_line_until_it_fits(desk: Desk) -> None:
    with screen(desk, *asked("form")) as terminal:
        # what no line shows the server refuses, and it is asked again
        for name in ("ann", "Ann"):
            terminal.expect("fill in (f), json file (j), reject (r), skip (s), help (?): ")
            terminal.type("f\n")
            terminal.expect("Guest — who comes (string): ")
            terminal.type("?\n")
            terminal.expect("`name` in the answer; has to be filled in")
            terminal.expect('pattern: "^[A-Z]"')
            terminal.type("much too long a name\n")
            terminal.expect("It has 20 characters, 10 are allowed.")
            terminal.type(f"{name}\n")
            terminal.expect("seats (integer): ")
            terminal.type("many\n")
            terminal.expect("That is not a number.")
            terminal.type("0\n")
            terminal.expect("It must be 1 at least.")
            terminal.type("3\n")
            terminal.expect("day (Monday / 2; may be empty): ")
            terminal.type("2\n")
            terminal.expect("price (number; may be empty): ")
            terminal.type("\n")
            terminal.expect("vegan (yes / no; Enter for no): ")
            terminal.type("y\n")
            if name == "ann":
                terminal.expect("Guest: ")
        code, rest = terminal.end()
    assert code == 0
    assert re.search(r"form\s+name: Ann\s+seats: 3\s+day: 2\s+vegan: true", rest)


def test_a_form_that_no_line_can_hold_is_read_from_a_file(desk: Desk) -> None:
    (desk.folder / "tags.json").write_text('{"tags": ["a"]}')
    with screen(desk, *asked("nested")) as terminal:
        terminal.expect("json file (j), reject (r), skip (s), help (?): ")
        terminal.type("j\n")
        terminal.expect("The file: ")
        terminal.type("missing.json\n")
        terminal.expect("missing.json cannot be read: No such file or directory")
        terminal.type("tags.json\n")
        code, rest = terminal.end()
    assert code == 0
    assert re.search(r"nested\s+tags:\s+- a", rest)


def test_a_question_mark_explains_and_own_words_may_be_typed_again(desk: Desk) -> None:
    with screen(desk, *asked("open_choice")) as terminal:
        terminal.expect("skip (s), help (?): ")
        terminal.type("?\n")
        terminal.expect("anything else: an answer in your own words")
        terminal.expect("skip (s), help (?): ")
        terminal.type("kake\n")
        terminal.expect("Your answer:\n  kake\nSend it?")
        terminal.expect(YES)
        terminal.type("?\n")
        terminal.expect("skip: leave the question to others")
        terminal.expect(YES)
        terminal.type("a\n")
        terminal.expect("skip (s), help (?): ")
        terminal.type("r\n")
        terminal.expect("The reason (may be empty): ")
        terminal.type("\n")
        send_back(terminal, "You reject it without a reason.\nSend it?")
        code, _ = terminal.end()
    assert code == 0


def test_an_approval_shows_its_posts_once_and_an_editor_is_found(desk: Desk) -> None:
    nano = desk.folder / "nano"
    nano.write_text('#!/bin/sh\nsed -i \'s/"text": "[^"]*"/"text": "By nano."/\' "$1"\n')
    nano.chmod(0o755)
    with screen(desk, *asked("posted"), PATH=f"{desk.folder}:/usr/bin:/bin") as terminal:
        shown = terminal.expect("approve (a), edit (e), reject (r), skip (s), help (?): ")
        (request,) = select_pending(desk.api.newest_run(re.findall("thread_[0-9a-f]+", shown)[0]))
        posts = (request.get("action") or {}).get("arguments", {})["posts"]
        assert len(posts) == 2
        for post in posts:
            assert post["text"] in (request.get("additionalContext") or "")
            assert shown.count(post["text"]) == 1
        assert "The review passed" in shown
        assert "What it repeats of the action stands below, once." in shown
        terminal.type("e\n")
        terminal.expect("text: By nano.")
        terminal.expect("help (?): ")
        terminal.type("a\n")
        code, _ = terminal.end()
    assert code == 0


def test_a_run_is_come_back_to(desk: Desk) -> None:
    run = desk.paused(*asked("words"))
    with screen(desk, "follow", run["runId"][:14], width=100) as terminal:
        terminal.expect("words asks")
        terminal.expect("> ")
        terminal.type("hello\n\n")
        send_back(terminal, "Your answer:\n  hello\nSend it?")
        code, rest = terminal.end()
    assert (code, "answered by ann" in rest) == (0, True)
    again = desk.hitl("follow", run["runId"])
    assert (again.returncode, again.stderr) == (0, "")
    assert "started" in again.stdout
    assert "The run is completed." in again.stdout
    assert json.loads(desk.hitl("follow", run["runId"], "--json").stdout)["status"] == "completed"


def test_what_led_to_a_question_is_shown_before_it(desk: Desk) -> None:
    run = desk.paused(*asked("words"))
    shown = io.StringIO()
    api = LateFrames(Server(desk.api.url, desk.variables["API_KEY"]))
    feed = Feed(api, run["runId"], hear=list[FrameJson]().append, since=None)
    feed.start()
    watch(api, run, feed, Terminal(shown))
    assert "asks.words asks: What about words?" in shown.getvalue()


def test_a_run_that_was_retried_is_answered_in_the_terminal(desk: Desk) -> None:
    failed = json.loads(desk.hitl(*asked("mended"), "--json").stdout)
    assert failed["status"] == "failed"
    assert desk.hitl("retry", failed["runId"]).returncode == 0
    with screen(desk, "follow", failed["runId"]) as terminal:
        terminal.expect("mended asks")
        terminal.expect("> ")
        time.sleep(2 * LOOK_SECONDS)  # to think
        terminal.type("yes\n\n")
        send_back(terminal, "Your answer:\n  yes\nSend it?")
        code, rest = terminal.end()
    assert (code, "The run is completed." in rest) == (0, True)
    assert "Somebody else" not in terminal.raw


def test_an_answer_may_be_followed(desk: Desk) -> None:
    run = desk.paused(*asked("words"))
    told = desk.hitl("answer", str(run["pendingRequestId"])[:20], "--text", "x", "--follow")
    assert (told.returncode, told.stderr) == (0, "")
    assert "answered by ann" in told.stdout.splitlines()[1]
    assert "The run is completed." in told.stdout


def test_behind_an_answer_the_next_question_is_asked_in_the_terminal(desk: Desk) -> None:
    run = desk.paused()
    answering = ["answer", str(run["pendingRequestId"]), "--option", "general", "--follow"]
    with screen(desk, *answering) as terminal:
        assert "Strategist starts" not in terminal.expect("answered by ann")
        terminal.expect("approve (a), edit (e), reject (r), skip (s), help (?): ")
        terminal.type("a\n")
        code, rest = terminal.end()
    assert code == 0
    assert "The run is completed." in rest


def test_a_run_without_a_terminal_may_be_stayed_with(desk: Desk) -> None:
    with subprocess.Popen(
        [HITL, *asked("words"), "--follow", "--thread", "stayed with"],
        cwd=desk.folder,
        env=environment(**desk.variables),
        stdout=subprocess.PIPE,
        text=True,
    ) as following:
        assert following.stdout
        said = iter(following.stdout)
        assert next(line for line in said if line.startswith("Answer it with: hitl answer hitl_"))
        (request,) = select_pending(desk.api.newest_run("stayed with"))
        desk.api.resume(request, {"freeformText": "x"}, "bob")
        rest = list(said)
        assert any("answered by bob" in line for line in rest)
        assert "The run is completed.\n" in rest
        assert following.wait(30) == 0
