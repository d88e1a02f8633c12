"""A run followed in a terminal, its questions answered by typing."""

import re

import pytest

from hitl_orchestrator.server.terminal.wire import select_pending
from tests.terminal.desk import Desk, asked
from tests.terminal.screen import screen


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
        terminal.expect("That is not one of the options.")
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
        (request,) = select_pending(desk.api.newest_run("shared"))
        first = request.get("options", [])[0]
        desk.api.resume(request, {"selectedOptionId": first["id"]}, "bob")
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


VERBS = "approve (a), choose (c), text (t), json (j), reject (r), skip (s)? "


@pytest.mark.parametrize(
    ("dialogue", "made"),
    [
        ([(VERBS, "a")], "- true"),
        ([(VERBS, "c"), ("Your choice; reject (r) or skip (s)? ", "2")], "- young"),
        ([(VERBS, "t"), ("> ", "thirty\n")], "- thirty"),
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
        # the server refuses the first, and is asked again
        for name, seats in (("much too long a name", "0"), ("Ann", "3")):
            terminal.expect("fill in (f), json file (j), reject (r), skip (s)? ")
            terminal.type("f\n")
            terminal.expect("name — who comes (string): ")
            terminal.type(f"{name}\n")
            terminal.expect("seats (integer): ")
            terminal.type("many\n")
            terminal.expect("That is not a number.")
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
