"""Asks for approval, and puts what was approved into the outbox.

A publication is a folder of its own: complete or not there at all, whatever crashes.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from uuid import uuid4

from pydantic import ValidationError

from hitl_orchestrator.desk.agent import DeskTask, ask
from hitl_orchestrator.desk.channels import channel
from hitl_orchestrator.desk.facets import Drafts, Post, Published, PublishedFile, Review
from hitl_orchestrator.domain.hitl import Person
from hitl_orchestrator.domain.records import JsonObject, describe_misfit


class Unpublishable(ValueError):
    """The posts are not such that they could be published. Says which and why."""


class AlreadyPublished(Exception):
    """The folder is there with other content."""


def publish(outbox: Path, task: DeskTask) -> dict[str, JsonObject]:
    """Write what was approved to the outbox; only an outright approval publishes.

    Raise Unpublishable and AlreadyPublished.
    """
    drafts = Drafts.model_validate(task["facets"]["drafts"])
    review = Review.model_validate(task["facets"]["review"])
    drafted = [post for post in drafts.posts if post.channel not in review.leaveOut]
    if not drafted:
        raise Unpublishable("every post was left out")
    answer = ask(_question(drafted, review, drafts.madeBy))
    if answer["status"] != "answered" or answer.get("approved") is not True:
        return {}
    edited, responder = answer.get("editedArguments"), answer.get("responder")
    posts = drafted if edited is None else _read_edited(edited, drafted)
    files = {f"{post.channel}.txt": post.content.encode() for post in posts}
    hashes = [hashlib.sha256(content).hexdigest() for content in files.values()]
    result = Published(
        folder=f"{_path_part(task['runId'])}/{_path_part(task['stepId'])}",
        files=tuple(
            PublishedFile(channel=post.channel, file=name, sha256=sha256)
            for post, name, sha256 in zip(posts, files, hashes, strict=True)
        ),
        approvedBy=Person.model_validate(responder) if responder else None,
        edited=posts != drafted,
        madeBy=drafts.madeBy,
    ).json_object()
    manifest = {name: task[name] for name in ("runId", "threadId", "stepId")} | result
    files["manifest.json"] = json.dumps(manifest, indent=2, ensure_ascii=False).encode()
    put(outbox / str(result["folder"]), files)
    return {"published": result}


def _question(drafted: Sequence[Post], review: Review, made_by: str) -> JsonObject:
    """Ask for approval. The posts are the action's arguments, and stand there alone."""
    verdict = "found no error" if review.passed else "did not pass"
    why = f" ({review.why})" if review.why else ""
    issues = "" if review.passed else "\n\n" + "\n".join(map(str, review.issues))
    return {
        "question": f"Publish these posts to {', '.join(post.channel for post in drafted)}?",
        "kind": "approval",
        "action": {
            "name": "publish",
            "arguments": {"posts": [post.json_object() for post in drafted]},
            "allowedDecisions": ["approve", "edit", "reject"],
        },
        "additionalContext": f"The review {verdict}{why}; made by {made_by}.{issues}",
    }


def _read_edited(arguments: JsonObject, drafted: Sequence[Post]) -> list[Post]:
    """Return the posts as a person left them: some may be out, and each has to fit its channel.

    Raise Unpublishable, which names what does not fit.
    """
    try:
        posts = Drafts.model_validate(arguments).posts
    except ValidationError as error:
        why = describe_misfit(error)
        raise Unpublishable(f"the edited arguments do not fit at {why}") from error
    names, left = [post.channel for post in posts], {post.channel for post in drafted}
    problems = [f"there is no draft for `{name}`" for name in names if name not in left]
    problems += ["a channel has two posts"] if len({*names}) < len(names) else []
    for post in posts:
        problems += [f"{post.channel}: {said}" for said in channel(post.channel).problems(post)]
    if problems:
        raise Unpublishable(f"the edited posts cannot be published: {'; '.join(problems)}")
    return [*posts]


def _path_part(name: str) -> str:
    """Return a name from outside as one part of a path: itself if it is plain, else its hash."""
    is_plain = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}", name)
    return name if is_plain else f"~{hashlib.sha256(name.encode()).hexdigest()}"


def write_durably(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def put(
    folder: Path, files: Mapping[str, bytes], write: Callable[[Path, bytes], None] = write_durably
) -> None:
    """Put the files into that folder, exactly once: written beside it, and renamed as a whole.

    A second pass with the same content changes nothing; one with other content raises
    AlreadyPublished. The pass that succeeds removes what a crash left half-written.
    """
    if not folder.exists():
        half = folder.with_name(f".{folder.name}.{uuid4().hex}")
        half.mkdir(parents=True)
        for name, content in files.items():
            write(half / name, content)
        _sync(half)
        try:
            half.rename(folder)
        except OSError:  # a second pass was faster
            if not folder.exists():
                raise
        _sync(folder.parent)
        _sync(folder.parent.parent)
    for half in folder.parent.glob(f".{folder.name}.*"):
        shutil.rmtree(half, ignore_errors=True)
    if {path.name: path.read_bytes() for path in folder.iterdir()} != dict(files):
        raise AlreadyPublished(f"{folder.parent.name}/{folder.name} has other content already")


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
