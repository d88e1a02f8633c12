"""Asks for approval, and puts what was approved into the outbox."""

import hashlib
import json
from pathlib import Path
from typing import Annotated

from langgraph.graph import END, START, StateGraph
from pydantic import Field, ValidationError

from hitl_orchestrator.desk import outbox as outboxes
from hitl_orchestrator.desk.agent import PUBLISHER, AgentMapping, DeskAnswer, DeskTask, ask
from hitl_orchestrator.desk.channels import channel
from hitl_orchestrator.desk.facets import Drafts, Post, Published, PublishedFile, Review, schema_of
from hitl_orchestrator.domain.hitl import Person
from hitl_orchestrator.domain.records import Json, JsonObject, Record, describe_misfit


class Unpublishable(ValueError):
    """The posts are not such that they could be published. Says which and why."""


class Arguments(Record):
    """Of the action `publish`."""

    posts: Annotated[tuple[Post, ...], Field(min_length=1)]


class PublisherState(DeskTask):
    answer: DeskAnswer
    published: JsonObject


def agent(outbox: Path) -> AgentMapping:
    def publish(state: PublisherState) -> dict[str, Json]:
        return {"published": published(state, outbox).json_object()}

    graph = StateGraph(PublisherState)
    graph.add_node("ask_approval", ask_approval)
    graph.add_node("publish", publish)
    graph.add_edge(START, "ask_approval")
    graph.add_conditional_edges("ask_approval", after_answer, ["publish", END])
    graph.add_edge("publish", END)
    return {
        "capabilityId": PUBLISHER,
        "displayName": "Publisher",
        "summary": "Asks for approval and puts the approved posts into the outbox.",
        "inputFacets": ["drafts", "review"],
        "optionalInputFacets": [],
        "outputFacets": ["published"],
        "facets": {
            "drafts": schema_of(Drafts),
            "review": schema_of(Review),
            "published": schema_of(Published),
        },
        "run": graph,
    }


def ask_approval(state: PublisherState) -> dict[str, DeskAnswer]:
    return {"answer": ask(question(_drafts(state), _review(state)))}


def question(drafts: Drafts, review: Review) -> JsonObject:
    """Ask for approval. The posts are the action's arguments, and stand there alone."""
    verdict = "found no error" if review.passed else "did not pass"
    why = f" ({review.why})" if review.why else ""
    issues = "" if review.passed else f"\n\n{review.listed}"
    return {
        "question": f"Publish these posts to {', '.join(post.channel for post in drafts.posts)}?",
        "kind": "approval",
        "action": {
            "name": "publish",
            "arguments": {"posts": [post.json_object() for post in drafts.posts]},
            "allowedDecisions": ["approve", "edit", "reject"],
        },
        "additionalContext": f"The review {verdict}{why}; made by {drafts.madeBy}.{issues}",
    }


def after_answer(state: PublisherState) -> str:
    """Only an outright approval publishes; whatever else it is does not."""
    answer = state["answer"]
    return "publish" if answer["status"] == "answered" and answer.get("approved") is True else END


def published(state: PublisherState, outbox: Path) -> Published:
    """Write what was approved to the outbox. Raise Unpublishable and AlreadyPublished."""
    drafts, answer = _drafts(state), state["answer"]
    edited, responder = answer.get("editedArguments"), answer.get("responder")
    posts = drafts.posts if edited is None else edited_posts(edited, drafts)
    if len({post.channel for post in posts}) < len(posts):
        raise Unpublishable("a channel has two posts")
    contents = {f"{post.channel}.txt": post.content.encode() for post in posts}
    result = Published(
        folder=f"{outboxes.path_part(state['runId'])}/{outboxes.path_part(state['stepId'])}",
        files=tuple(
            PublishedFile(
                channel=post.channel, file=name, sha256=hashlib.sha256(content).hexdigest()
            )
            for post, (name, content) in zip(posts, contents.items(), strict=True)
        ),
        approvedBy=Person.model_validate(responder) if responder else None,
        edited=posts != drafts.posts,
        madeBy=drafts.madeBy,
    )
    manifest = {
        name: state[name] for name in ("runId", "threadId", "stepId")
    } | result.json_object()
    outboxes.put(
        outbox / result.folder,
        contents | {"manifest.json": json.dumps(manifest, indent=2, ensure_ascii=False).encode()},
    )
    return result


def edited_posts(arguments: JsonObject, drafts: Drafts) -> tuple[Post, ...]:
    """Return the posts as a person left them: some may be out, and each has to fit its channel.

    Raise Unpublishable, which names what does not fit.
    """
    try:
        posts = Arguments.model_validate(arguments).posts
    except ValidationError as error:
        raise Unpublishable(
            f"the edited arguments do not fit at {describe_misfit(error)}"
        ) from error
    drafted = {post.channel for post in drafts.posts}
    problems = [
        f"there is no draft for `{post.channel}`" for post in posts if post.channel not in drafted
    ]
    problems += [
        f"{post.channel}: {problem}"
        for post in posts
        for problem in channel(post.channel).problems(post)
    ]
    if problems:
        raise Unpublishable(f"the edited posts cannot be published: {'; '.join(problems)}")
    return posts


def _drafts(state: PublisherState) -> Drafts:
    """Return the drafts without those that a person left out."""
    drafts, left_out = Drafts.model_validate(state["facets"]["drafts"]), _review(state).leaveOut
    posts = tuple(post for post in drafts.posts if post.channel not in left_out)
    if not posts:
        raise Unpublishable("every post was left out")
    return drafts.but(posts=posts)


def _review(state: PublisherState) -> Review:
    return Review.model_validate(state["facets"]["review"])
