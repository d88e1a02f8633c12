"""The publisher: what was approved is in the outbox, once and whole."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hitl_orchestrator.desk import publisher
from hitl_orchestrator.desk.publisher import AlreadyPublished, put
from tests.desk.acme import (
    Answer,
    approved,
    denied,
    desk,
    drafts,
    run,
    said,
    task,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class TestPublisher:
    async def publish(
        self, out: Path, *answers: Answer, run_id: str = "run-1"
    ) -> tuple[dict[str, Any], Any]:
        issue = {"channel": "email", "rule": "figures", "message": "50 is nowhere.", "line": 3}
        review = {"passed": False, "issues": [issue], "why": "Nobody decided: Expired"}
        given = task(
            {"drafts": drafts(linkedin="We are out.\n\n“Grüße”", email="Hello"), "review": review},
            run_id=run_id,
        )
        return await run(desk(out=out)["publisher"], given, *answers)

    async def test_publishes_what_was_approved(self, tmp_path: Path) -> None:
        made, [question] = await self.publish(
            tmp_path, approved(responder={"id": "ann", "displayName": "Ann", "email": None})
        )

        assert question["action"]["name"] == "publish"
        assert question["action"]["allowedDecisions"] == ["approve", "edit", "reject"]
        assert [post["channel"] for post in question["action"]["arguments"]["posts"]] == [
            "linkedin",
            "email",
        ]
        assert question["additionalContext"] == (
            "The review did not pass (Nobody decided: Expired); made by a person.\n\n"
            "- **email**, line 3 (figures): 50 is nowhere."
        ), "the posts are the arguments, and stand nowhere else"
        folder = tmp_path / "run-1" / "step-1"
        assert names(folder) == ["email.txt", "linkedin.txt", "manifest.json"]
        assert (folder / "linkedin.txt").read_text("utf-8") == "We are out.\n\n“Grüße”\n"
        assert (folder / "email.txt").read_text("utf-8") == "Subject: News\n\nHello\n"
        manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
        assert (
            manifest["runId"],
            manifest["threadId"],
            manifest["stepId"],
            manifest["edited"],
        ) == ("run-1", "thread-1", "step-1", False)
        assert manifest["approvedBy"]["id"] == "ann"
        assert {each["file"]: each["sha256"] for each in manifest["files"]} == {
            name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
            for name in ("linkedin.txt", "email.txt")
        }
        assert made["published"]["folder"] == "run-1/step-1"

    @pytest.mark.parametrize(
        "answer", [denied("Not today"), {"status": "answered", "approved": False}, said("maybe")]
    )
    async def test_anything_but_an_approval_publishes_nothing(
        self, tmp_path: Path, answer: Answer
    ) -> None:
        made, _ = await self.publish(tmp_path, answer)
        assert "published" not in made
        assert names(tmp_path) == []

    async def test_what_a_person_left_out_is_not_asked_for(self, tmp_path: Path) -> None:
        review = {"passed": True, "leaveOut": ["email"], "why": "A person left out email."}
        facets = {"drafts": drafts(x="We are out.", email="Hello"), "review": review}
        _, [question] = await run(desk(out=tmp_path)["publisher"], task(facets), approved())
        assert question["question"] == "Publish these posts to x?"
        assert names(tmp_path / "run-1" / "step-1") == ["manifest.json", "x.txt"]

    async def test_publishes_what_was_edited(self, tmp_path: Path) -> None:
        made, _ = await self.publish(
            tmp_path,
            approved(editedArguments={"posts": [{"channel": "linkedin", "text": "Better"}]}),
        )
        assert made["published"]["edited"]
        assert names(tmp_path / "run-1" / "step-1") == ["linkedin.txt", "manifest.json"]

    @pytest.mark.parametrize(
        ("edited", "problem"),
        [
            ({}, "do not fit at `posts`: Field required"),
            ({"posts": []}, "do not fit at `posts`"),
            ({"posts": [{"channel": "linkedin", "text": ""}]}, "do not fit at `posts.0.text`"),
            ({"posts": [{"channel": "linkedin", "text": " "}]}, "do not fit at `posts.0.text`"),
            ({"posts": [{"channel": "../x", "text": "a"}]}, "do not fit at `posts.0.channel`"),
            ({"posts": [{"channel": "x", "text": "a"}]}, "there is no draft for `x`"),
            ({"posts": [{"channel": "linkedin", "text": "a"}] * 2}, "a channel has two posts"),
            (
                {"posts": [{"channel": "linkedin", "text": "a" * 3001}]},
                "linkedin: the text has 3001 characters, 3000 are allowed",
            ),
            ({"posts": [{"channel": "email", "text": "a"}]}, "email: the subject is missing"),
        ],
    )
    async def test_an_edit_that_does_not_fit_fails_the_step_and_says_why(
        self, tmp_path: Path, edited: Any, problem: str
    ) -> None:
        with pytest.raises(ValueError, match=problem.replace("(", r"\(")):
            await self.publish(tmp_path, approved(editedArguments=edited))
        assert names(tmp_path) == []

    @pytest.mark.parametrize(
        "run_id", ["../../etc", "/etc", "", ".", "a/b", "a\\b", ".hidden", "ü" * 300]
    )
    async def test_a_run_id_is_no_path(self, tmp_path: Path, run_id: str) -> None:
        made, _ = await self.publish(tmp_path / "outbox", approved(), run_id=run_id)
        assert names(tmp_path) == ["outbox"]
        (folder,) = names(tmp_path / "outbox")
        assert made["published"]["folder"] == f"{folder}/step-1"

    async def test_a_second_run_of_the_step_publishes_nothing_new(self, tmp_path: Path) -> None:
        assert await self.publish(tmp_path, approved()) == await self.publish(tmp_path, approved())
        assert names(tmp_path / "run-1") == ["step-1"]

    def test_a_second_pass_changes_nothing_and_another_content_is_refused(
        self, tmp_path: Path
    ) -> None:
        files = {"a": b"1", "b": b"2"}
        put(tmp_path / "run" / "step", files)
        before = (tmp_path / "run" / "step" / "a").stat()
        put(tmp_path / "run" / "step", files)
        assert (tmp_path / "run" / "step" / "a").stat() == before
        with pytest.raises(AlreadyPublished, match="run/step has other content already"):
            put(tmp_path / "run" / "step", files | {"a": b"3"})

    def test_whatever_crashes_the_folder_is_complete_or_not_there(self, tmp_path: Path) -> None:
        crashes = subprocess.run(
            [sys.executable, "-c", CRASHES, str(tmp_path), publisher.__file__],
            capture_output=True,
            text=True,
            check=False,
        )
        assert crashes.returncode == 0, crashes.stderr
        # before the first write, after the first, before the last, after the last: nothing is
        # there; then the next pass makes it all
        assert crashes.stdout.split() == ["crashed", "absent", "complete"] * 4


CRASHES = """
import os, runpy, sys
from pathlib import Path

namespace = runpy.run_path(sys.argv[2])
put, write_durably = namespace["put"], namespace["write_durably"]
files = {"a": b"1" * 100_000, "b": b"2" * 100_000}

def crashing(at, half):
    written = []
    def write(path, content):
        if len(written) == at and half:
            path.write_bytes(content[:50])
            os._exit(9)
        write_durably(path, content)
        written.append(path)
        if len(written) == at + 1 and not half:
            os._exit(9)
    return write

for number, (at, half) in enumerate([(0, True), (0, False), (1, True), (1, False)]):
    folder = Path(sys.argv[1]) / str(number) / "step"
    child = os.fork()
    if not child:
        put(folder, files, crashing(at, half))
        os._exit(0)
    print("crashed" if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9 else "lived")
    print("there" if folder.exists() else "absent")
    put(folder, files)
    whole = {path.name: path.read_bytes() for path in folder.iterdir()} == files
    alone = os.listdir(folder.parent) == ["step"]
    print("complete" if whole and alone else "incomplete")
"""
