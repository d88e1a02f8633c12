"""Checks the drafts by rules, and asks a person for guidance when they fall short."""

import asyncio
import operator
from collections.abc import Iterator, Sequence
from typing import Annotated

from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, StateGraph
from pydantic import BaseModel, Field

from hitl_orchestrator.desk import claims
from hitl_orchestrator.desk import guidance as guidances
from hitl_orchestrator.desk.agent import (
    REVIEWER,
    AgentMapping,
    DeskAnswer,
    DeskTask,
    Said,
    ask,
    describe_maker,
)
from hitl_orchestrator.desk.channels import channel
from hitl_orchestrator.desk.facets import SOURCE, Brief, Drafts, Issue, Post, Review, schema_of
from hitl_orchestrator.desk.markdown import MAX_CHARACTERS
from hitl_orchestrator.desk.prompt import instructed
from hitl_orchestrator.desk.prose import blockquote, clipped, lix
from hitl_orchestrator.domain.records import Json, JsonObject
from hitl_orchestrator.nodes.model import ask_model

THRESHOLD = 80  # of 100: one error, or more than four warnings, are below it
PRICES = {"error": 25, "warning": 5}
HARD_TO_READ, TOO_HARD_TO_READ = 60, 75  # LIX: a warning, an error


class ReviewerState(DeskTask):
    review: JsonObject
    warnings: Annotated[list[str], operator.add]


class Unsupported(BaseModel):
    channel: str
    quote: str = Field(min_length=1, max_length=400)
    why: str = Field(min_length=1, max_length=400)


class Claims(BaseModel):
    """What a model found."""

    unsupported: list[Unsupported]


def agent(model: ChatOpenAI | None) -> AgentMapping:
    async def check(state: ReviewerState) -> dict[str, Json]:
        review = await asyncio.to_thread(checked, state)
        return (
            await claims_checked(review, state, model)
            if model
            else {"review": review.json_object()}
        )

    graph = StateGraph(ReviewerState)
    graph.add_node("check", check)
    graph.add_node("ask_guidance", ask_guidance)
    graph.add_edge(START, "check")
    graph.add_conditional_edges("check", after_checks, ["ask_guidance", END])
    graph.add_edge("ask_guidance", END)
    return {
        "capabilityId": REVIEWER,
        "displayName": "Reviewer",
        "summary": (
            "Checks length, lines that have to be in, readability, links and claims; asks for "
            "guidance when drafts fall short."
        ),
        "inputFacets": ["drafts", "brief"],
        "optionalInputFacets": ["source"],
        "outputFacets": ["review"],
        "facets": {
            "drafts": schema_of(Drafts),
            "brief": schema_of(Brief),
            "source": SOURCE,
            "review": schema_of(Review),
        },
        "run": graph,
        "reworks": ["drafts"],
    }


def checked(state: ReviewerState) -> Review:
    drafts, brief, told = _drafts(state), _brief(state), guidances.texts(state["context"])
    must = guidances.understood(told).must_include(brief)
    known = claims.support([*_sources(state), *told])
    issues = [
        issue
        for post in drafts.posts
        for issue in (*_form(post, must, bool(brief.keyPoints)), *_truth(post, known))
    ]
    return _judged(issues, drafts, state["context"], describe_maker(None))


async def claims_checked(
    review: Review, state: ReviewerState, model: ChatOpenAI
) -> dict[str, Json]:
    """With the claims that the model found unsupported. A quote that no draft has is no finding."""
    drafts = _drafts(state)
    messages = instructed(
        "reviewer",
        source="\n\n".join(_sources(state))[:MAX_CHARACTERS],
        guidance=[*guidances.texts(state["context"])],
        posts=[post.json_object() for post in drafts.posts],
    )
    answer, why = await ask_model(model, messages, Claims)
    if answer is None:
        return {
            "review": review.json_object(),
            "warnings": [f"The claims were checked by {review.madeBy} alone: {why}."],
        }
    texts = {post.channel: f"{post.subject or ''}\n{post.text}" for post in drafts.posts}
    found = [claim for claim in answer.unsupported if claim.quote in texts.get(claim.channel, "")]
    issues = [
        *review.issues,
        *(
            _issue(claim.channel, "claims", f"“{claim.quote}”: {claim.why}", "error")
            for claim in found
        ),
    ]
    return {
        "review": _judged(
            issues, drafts, state["context"], describe_maker(model.model_name)
        ).json_object()
    }


def after_checks(state: ReviewerState) -> str:
    """It asks once: what came of its question is in the context of every later visit."""
    return END if _review(state).passed or _said(state["context"]) else "ask_guidance"


def ask_guidance(state: ReviewerState) -> dict[str, Json]:
    answer = ask(question(_review(state), _drafts(state)))
    return {
        "review": _review(state).but(why=_outcome(answer, "A person gave guidance.")).json_object()
    }


def question(review: Review, drafts: Drafts) -> JsonObject:
    issues = "\n".join(
        f"- **{issue.channel}**, {issue.rule} ({issue.severity}): {issue.message}"
        for issue in review.issues
    )
    texts = "\n\n".join(
        f"**{post.channel}**\n\n{blockquote(clipped(post.text, 3000))}" for post in drafts.posts
    )
    return {
        "question": (
            f"The drafts reach {review.score} of 100 points, {THRESHOLD} are needed. What "
            f"should the writer do differently?"
        ),
        "kind": "freeform",
        "additionalContext": f"{issues}\n\n{texts}",
    }


def _form(post: Post, must: Sequence[str], has_points: bool) -> Iterator[Issue]:
    place = channel(post.channel)
    for problem in place.problems(post):
        yield _issue(post.channel, "length", f"{problem[0].upper()}{problem[1:]}.", "error")
    for line in must:
        if " ".join(line.split()).casefold() not in " ".join(post.text.split()).casefold():
            fits = (
                ""
                if place.fits(line)
                else f", which is longer than the {place.limit} characters of this channel"
            )
            yield _issue(
                post.channel, "must-include", f"“{clipped(line, 200)}” is missing{fits}.", "error"
            )
    score = lix(post.text)
    if score and score > HARD_TO_READ:
        severity = "error" if score > TOO_HARD_TO_READ else "warning"
        yield _issue(
            post.channel,
            "readability",
            f"It is very hard to read (LIX {score}; over {HARD_TO_READ} is very difficult).",
            severity,
        )
    if not has_points:
        yield _issue(
            post.channel, "substance", "The brief has no points; there is little to say.", "warning"
        )


def _truth(post: Post, known: claims.Support) -> Iterator[Issue]:
    text = f"{post.subject or ''}\n{post.text}"
    for figure in claims.unsupported_figures(text, known):
        yield _issue(post.channel, "figures", f"{figure} is in no source.", "error")
    malformed = claims.malformed_links(text)
    for url in malformed:
        yield _issue(
            post.channel, "links", f"{clipped(url, 200)} is not a well-formed web address.", "error"
        )
    for url in claims.unsupported_links(text, known):
        if url not in malformed:
            yield _issue(post.channel, "links", f"{clipped(url, 200)} is in no source.", "error")


def _issue(place: str, rule: str, message: str, severity: str) -> Issue:
    return Issue.model_validate(
        {"channel": place, "rule": rule, "message": message, "severity": severity}
    )


def _judged(issues: Sequence[Issue], drafts: Drafts, context: Sequence[Said], made: str) -> Review:
    score = max(0, 100 - sum(PRICES[issue.severity] for issue in issues))
    said = _said(context)
    return Review(
        passed=score >= THRESHOLD,
        score=score,
        threshold=THRESHOLD,
        issues=tuple(issues),
        readability={
            post.channel: value for post in drafts.posts if (value := lix(post.text)) is not None
        },
        why=_outcome(said[-1], "It falls short even with a person's guidance.")
        if said and score < THRESHOLD
        else None,
        madeBy=made,
    )


def _outcome(said: DeskAnswer | Said, answered: str) -> str:
    return (
        f"No guidance: {said.get('reason') or 'Rejected'}"
        if said["status"] == "denied"
        else answered
    )


def _said(context: Sequence[Said]) -> list[Said]:
    return [said for said in context if said["originAgent"] == REVIEWER]


def _sources(state: ReviewerState) -> list[str]:
    """What a draft may draw on. A whole brief only where there is no other source and no model
    wrote it.
    """
    brief, source = _brief(state), str(state["facets"].get("source") or "")
    is_source = not source and not brief.madeBy.startswith("model")
    return [
        state["objective"],
        source,
        brief.audience,
        *brief.mustInclude,
        *([brief.model_dump_json()] if is_source else []),
    ]


def _review(state: ReviewerState) -> Review:
    return Review.model_validate(state["review"])


def _drafts(state: ReviewerState) -> Drafts:
    return Drafts.model_validate(state["facets"]["drafts"])


def _brief(state: ReviewerState) -> Brief:
    return Brief.model_validate(state["facets"]["brief"])
