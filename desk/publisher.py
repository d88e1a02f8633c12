"""Asks for approval, and puts what was approved into the outbox."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from hitl_orchestrator.desk import outbox as outboxes
from hitl_orchestrator.desk.agent import DeskTask, ask
from hitl_orchestrator.desk.channels import channel
from hitl_orchestrator.desk.facets import Drafts, Post, Published, PublishedFile, Review
from hitl_orchestrator.domain.hitl import Person
from hitl_orchestrator.domain.records import JsonObject, describe_misfit


class Unpublishable(ValueError):
    """The posts are not such that they could be published. Says which and why."""


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
    contents = {post.channel: post.content.encode() for post in posts}
    result = Published(
        folder=f"{outboxes.path_part(task['runId'])}/{outboxes.path_part(task['stepId'])}",
        files=tuple(
            PublishedFile(channel=name, file=f"{name}.txt", sha256=hashlib.sha256(text).hexdigest())
            for name, text in contents.items()
        ),
        approvedBy=Person.model_validate(responder) if responder else None,
        edited=posts != drafted,
        madeBy=drafts.madeBy,
    ).json_object()
    manifest = {name: task[name] for name in ("runId", "threadId", "stepId")} | result
    files = {f"{name}.txt": text for name, text in contents.items()}
    files["manifest.json"] = json.dumps(manifest, indent=2, ensure_ascii=False).encode()
    outboxes.put(outbox / str(result["folder"]), files)
    return {"published": result}


def _question(drafted: Sequence[Post], review: Review, made_by: str) -> JsonObject:
    """Ask for approval. The posts are the action's arguments, and stand there alone."""
    verdict = "found no error" if review.passed else "did not pass"
    why = f" ({review.why})" if review.why else ""
    issues = "" if review.passed else f"\n\n{review.listed}"
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
