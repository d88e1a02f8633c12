"""`hitl run` without a terminal, and the operator's commands on what it started."""

import json
import re
from typing import get_type_hints

from hitl_orchestrator.server.terminal.wire import FrameJson, RunJson, select_pending
from tests.terminal.desk import RELEASE, Desk, asked

WHEN = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"


def test_without_a_terminal_a_question_ends_the_command_and_is_answered_by_another(
    desk: Desk,
) -> None:
    started = desk.hitl(*desk.start)
    assert (started.returncode, started.stderr) == (3, "")
    assert re.match(r"Run run_\w+ of thread thread_\w+\n\d\d:\d\d:\d\d  start  ", started.stdout)
    found = re.search(r"^Answer it with: hitl answer (hitl_\w+) --option ID$", started.stdout, re.M)
    assert found, started.stdout

    listed, question = desk.hitl("pending"), desk.hitl("show", found[1])
    assert found[1] in listed.stdout
    assert "announcement.strategist takes" in question.stdout
    choice = desk.api.request(found[1])
    label = choice.get("options", [])[0]["label"]
    answered = desk.hitl("answer", found[1], "--option", label.upper())
    assert (answered.returncode, answered.stdout) == (
        0,
        f"Answered. Run {choice['runId']} is running.\n",
    )

    (approval,) = select_pending(desk.at_rest(choice["runId"]))
    action = approval.get("action")
    assert action
    arguments = action.get("arguments", {})
    arguments["posts"][0]["text"] = "Edited by a person."
    (desk.folder / "posts.json").write_text(json.dumps(arguments))
    edited = ["--approve", "--edit", "posts.json", "--note", "shorter"]
    assert desk.hitl("answer", approval["requestId"], *edited).returncode == 0

    assert desk.at_rest(choice["runId"])["status"] == "completed"
    shown = desk.hitl("show", choice["runId"])
    assert "The run is completed." in shown.stdout
    assert re.search(
        r"^published, in the server's outbox\n  \S+/\S+",
        re.sub(" +$", "", shown.stdout, flags=re.M),
        re.M,
    )
    late = desk.hitl("answer", found[1], "--reject")
    assert late.returncode == 1
    assert re.fullmatch(
        rf"hitl: The question is decided already: ann chose “{label}”, {WHEN}\.\n", late.stderr
    )
    decided = json.loads(desk.hitl("show", found[1], "--json").stdout)
    assert decided["responses"][0]["responderId"] == "ann"


def test_json_is_the_runs_own_and_alone_on_stdout(desk: Desk) -> None:
    told = desk.hitl(*desk.start, "--json", "--thread", "my-thread", "--max-questions", "2")
    assert told.returncode == 3
    run: RunJson = json.loads(told.stdout)
    assert (run["threadId"], run["status"], run["pendingRequestId"]) == (
        "my-thread",
        "awaiting_hitl",
        run["requests"][0]["requestId"],
    )
    assert f"hitl answer {run['pendingRequestId']}" in told.stderr
    assert json.loads(desk.hitl("show", "my-thread", "--json").stdout) == run
    queue = json.loads(desk.hitl("pending", "--thread", "my-thread", "--json").stdout)
    assert queue["runs"][0]["runId"] == run["runId"]


def test_a_run_that_needs_nobody_is_followed_to_its_end(desk: Desk) -> None:
    told = desk.hitl(*desk.start_with_audience, "--output", "drafts")
    assert (told.returncode, told.stderr) == (0, "")
    assert "The run is completed." in told.stdout
    assert "posts:" in told.stdout


def test_every_frame_of_a_run_has_what_a_terminal_reads(desk: Desk) -> None:
    told = desk.hitl(*desk.start_with_audience, "--output", "brief", "--json")
    frames = list(desk.api.frames(json.loads(told.stdout)["runId"]))
    assert [frame["type"] for frame in (frames[0], frames[-1])] == ["start", "complete"]
    for frame in frames:
        assert set(get_type_hints(FrameJson)) <= set(frame)


def test_the_body_may_come_from_a_file_and_options_add_to_it(desk: Desk) -> None:
    body = {"objective": "Announce it", "inputs": {"audience": "developers"}, "outputs": ["brief"]}
    (desk.folder / "body.json").write_text(json.dumps(body))
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
        assert told.stderr == (
            "hitl: The server does not know this key: set API_KEY to one that it knows.\n"
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
    nothing = desk.hitl("pending", "--thread", "nobody")
    assert (nothing.stdout, nothing.stderr) == ("", "Nothing waits for a person.\n")


def test_an_answer_that_does_not_fit_leaves_the_question_pending(desk: Desk) -> None:
    run = desk.paused()
    (desk.folder / "data.json").write_text("{}")
    told = desk.hitl("answer", str(run["pendingRequestId"]), "--data", "data.json")
    assert told.returncode == 1
    assert str(run["pendingRequestId"]) in told.stderr
    assert desk.at_rest(run["runId"])["pendingRequestId"] == run["pendingRequestId"]


def test_a_question_is_denied_and_its_run_goes_on(desk: Desk) -> None:
    run, other = desk.paused(*asked("words")), desk.paused(*asked("words"))
    denied = desk.hitl("deny", str(run["pendingRequestId"]), "--reason", "not ours", "--note", "n")
    assert (denied.returncode, denied.stdout) == (0, f"Denied. Run {run['runId']} is running.\n")
    ended = desk.at_rest(run["runId"])
    assert ended["result"] == {"outputs": {"words": "not ours"}, "notDone": []}
    (entry,) = [each for each in ended["metadata"]["auditLog"] if each["action"] == "deny"]
    assert (entry["operator"]["id"], entry["note"], entry["reason"]) == ("ann", "n", "not ours")

    arguments = ("--reason", "r", "--operator", "bo", "--json")
    as_json = desk.hitl("deny", str(other["pendingRequestId"]), *arguments)
    assert json.loads(as_json.stdout)["run"]["requests"][0]["denialReason"] == "r"
    again = desk.hitl("deny", str(other["pendingRequestId"]), *arguments)
    assert (again.returncode, again.stdout) == (1, "")
    assert "decided already: bo denied it: “r”, 20" in again.stderr


def test_a_question_is_removed_and_a_run_cancelled(desk: Desk) -> None:
    first, second = desk.paused(), desk.paused()
    removed = desk.hitl("remove", str(first["pendingRequestId"]), "--reason", "by mistake")
    assert (removed.returncode, removed.stdout) == (
        0,
        f"Removed. Run {first['runId']} is cancelled.\n",
    )
    assert (
        "ann removed it, and cancelled the run: “by mistake”"
        in desk.hitl("show", first["runId"]).stdout
    )
    cancelled = desk.hitl("cancel", second["runId"], "--reason", "wrong source", "--json")
    assert json.loads(cancelled.stdout)["status"] == "cancelled"
    assert "The run is cancelled: wrong source" in desk.hitl("show", second["runId"]).stdout
    assert desk.hitl("cancel", second["runId"], "--reason", "again").returncode == 1


def test_a_failed_run_is_retried_and_its_stream_tells_of_both_ends(desk: Desk) -> None:
    failed = json.loads(desk.hitl(*asked("broken"), "--json").stdout)
    assert failed["status"] == "failed"
    note = ["--note", "it is mended", "--operator", "ada"]
    retried = desk.hitl("retry", failed["runId"], *note)
    assert (retried.returncode, retried.stdout) == (0, f"Run {failed['runId']} is queued.\n")
    run = desk.at_rest(failed["runId"])
    assert run["status"] == "failed"
    entry = next(one for one in run["metadata"]["auditLog"] if one["action"] == "retry")
    assert (entry["note"], entry["operator"]["id"]) == ("it is mended", "ada")
    types = [frame["type"] for frame in desk.api.frames(failed["runId"])]
    assert [type_ for type_ in types if type_ in ("start", "error")] == ["start", "error"] * 2
    paused = desk.paused()
    refused = desk.hitl("retry", paused["runId"])
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "is awaiting_hitl; only a failed run can be retried" in refused.stderr


def test_a_facet_is_a_file_or_a_text(desk: Desk) -> None:
    (desk.folder / "plain").write_text("of the file")
    (desk.folder / "data.json").write_text('{"a": 1}')
    given = {
        "a=@plain": "of the file",
        "b=plain": "of the file",
        "c==plain": "plain",
        "d=@data.json": {"a": 1},
        "e=data.json": {"a": 1},
        "f==data.json": "data.json",
        "g=people who build": "people who build",
        "h=https://example.com/a.html": "https://example.com/a.html",
        "i=2.4.0": "2.4.0",
        "j=a=b": "a=b",
    }
    inputs = [part for one in given for part in ("--input", one)]
    run = json.loads(desk.hitl(*asked("told"), *inputs, "--json").stdout)
    values = [run["facets"][one[0]]["value"] for one in given]
    assert values == list(given.values())


def test_show_says_who_decided_what_and_when(desk: Desk) -> None:
    run = desk.paused(*asked("words"))
    request_id = str(run["pendingRequestId"])
    asked_only = desk.hitl("show", request_id).stdout
    assert "Decided" not in asked_only
    rejecting = ["--reject", "--text", "not now", "--note", "asked Bo"]
    desk.hitl("answer", request_id, *rejecting)
    desk.at_rest(run["runId"])
    said = rf"ann rejected it: “not now” \(note: asked Bo\), {WHEN}"
    assert re.search(rf"^Decided +{said} *$", desk.hitl("show", request_id).stdout, re.M)
    assert re.search(said, " ".join(desk.hitl("show", run["runId"]).stdout.split()))
    late = desk.hitl("answer", request_id, "--text", "now")
    assert re.fullmatch(rf"hitl: The question is decided already: {said}\.\n", late.stderr)


def test_what_is_refused_is_said_in_the_words_of_the_command_line(desk: Desk) -> None:
    run = desk.paused(*asked("form"))
    (desk.folder / "data.json").write_text('{"name": "Ann", "seats": 0}')
    for arguments, says in (
        (["run", "--objective", ""], "hitl: --objective: "),
        (["run", "--objective", "x", "--thread", ""], "hitl: --thread: "),
        (["answer", str(run["pendingRequestId"]), "--data", "data.json"], " seats: 0 is less"),
        (["deny", str(run["pendingRequestId"]), "--reason", ""], "hitl: --reason: "),
        (["answer", str(run["pendingRequestId"]), "--text", "x", "--operator", "o" * 256],
            "hitl: --operator id: "),
        (["pending", "--agent", ""], "hitl: --agent: "),
    ):  # fmt: skip
        told = desk.hitl(*arguments)
        assert (told.returncode, told.stdout) == (1, "")
        assert says in told.stderr
        assert not re.search(r"(?<!\w)/\w|query|Bearer", told.stderr), told.stderr
