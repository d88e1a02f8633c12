"""Writes a draft for each channel: within its limit, with every line that has to be in, following
what a person asked for.
"""

import asyncio
import re
from collections.abc import Sequence
from typing import Any

from langchain_openai import ChatOpenAI
from pydantic import BaseModel, Field, ValidationError

from hitl_orchestrator.desk import guidance as guidances
from hitl_orchestrator.desk import source as sources
from hitl_orchestrator.desk.agent import WRITER, AgentMapping, DeskTask, describe_maker
from hitl_orchestrator.desk.channels import DEFAULT_CHANNELS, Channel, channel, channels
from hitl_orchestrator.desk.composing import Material, compose
from hitl_orchestrator.desk.facets import (
    CHANNELS,
    SOURCE,
    Brief,
    Drafts,
    KeyPoint,
    Link,
    Post,
    schema_of,
)
from hitl_orchestrator.desk.guidance import Guidance
from hitl_orchestrator.desk.markdown import MAX_CHARACTERS
from hitl_orchestrator.desk.prompt import instructed
from hitl_orchestrator.desk.prose import clipped
from hitl_orchestrator.nodes.model import ask_model

ALIKE = 0.6  # of a wish's words that a point has to share

_LITTLE_WORDS = {
    "the",
    "and",
    "that",
    "this",
    "for",
    "with",
    "our",
    "its",
    "are",
    "was",
    "has",
    "from",
    "into",
    "about",
    "more",
}
_CALLED = {
    "security": "security fix vulnerability",
    "breaking": "breaking change",
    "new": "new feature addition",
    "improved": "improvement",
    "fixed": "bug fix",
    "removed": "removal",
    "deprecated": "deprecation",
}


class WrittenPost(BaseModel):
    channel: str
    subject: str | None
    text: str


class Written(BaseModel):
    """What a model writes."""

    posts: list[WrittenPost] = Field(min_length=1)


def agent(model: ChatOpenAI | None) -> AgentMapping:
    async def run(task: DeskTask) -> dict[str, Any]:
        return await write(task, model)

    return {
        "capabilityId": WRITER,
        "displayName": "Writer",
        "summary": "Writes a draft for each channel, within its limits.",
        "inputFacets": ["brief"],
        "optionalInputFacets": ["source", "channels"],
        "outputFacets": ["drafts"],
        "facets": {
            "brief": schema_of(Brief),
            "source": SOURCE,
            "channels": CHANNELS,
            "drafts": schema_of(Drafts),
        },
        "run": run,
    }


async def write(task: DeskTask, model: ChatOpenAI | None) -> dict[str, Any]:
    brief = Brief.model_validate(task["facets"]["brief"])
    source = str(task["facets"].get("source") or task["objective"])
    told = guidances.texts(task["context"])
    guidance = guidances.understood(told)
    places = channels(task["facets"].get("channels") or DEFAULT_CHANNELS)
    material, posts = await asyncio.to_thread(offline, brief, guidance, source, places)
    made, warnings = describe_maker(None), list[str]()
    if model:
        better, why = await _by_model(model, task["objective"], source, told, material, posts)
        made, warnings = (
            (describe_maker(model.model_name), [])
            if better
            else (made, [f"The drafts were made by {made}: {why}."])
        )
        posts = better or posts
    if made == describe_maker(None):
        warnings += [
            f"The offline rules could not follow: {clipped(wish, 200)}"
            for wish in unfollowed(material, posts)
        ]
    return {
        "drafts": Drafts(posts=posts, guidance=tuple(told), madeBy=made).json_object(),
        "warnings": warnings,
    }


def offline(
    brief: Brief, guidance: Guidance, source: str, places: Sequence[Channel]
) -> tuple[Material, tuple[Post, ...]]:
    material = gathered(brief, guidance, source)
    return material, tuple(compose(material, place) for place in places)


def gathered(brief: Brief, guidance: Guidance, source: str) -> Material:
    """What there is to say, with the guidance followed: what a person wants mentioned is looked for
    among links, points and the source.
    """
    known = [point.but(text=guidance.worded(point.text)) for point in brief.keyPoints]
    wider = (
        [*known, *sources.read(source, brief.version or "").points] if guidance.mention else known
    )
    links, pinned = [Link(url=url) for url in guidance.links], list[KeyPoint]()
    for wish in guidance.mention:
        if link := next((link for link in brief.links if _share(wish, link.text) >= ALIKE), None):
            links.append(link)
        else:
            pinned.append(
                _meant(wish, wider)
                or KeyPoint(text=wish if wish.endswith(".") else f"Also: {wish}.")
            )
    return Material(
        brief=brief,
        must=guidance.must_include(brief),
        pinned=list(dict.fromkeys(pinned)),
        points=[
            point for point in known if point not in pinned and not guidance.refuses(point.text)
        ],
        links=links
        or [link for link in brief.links[:1] if not guidance.refuses(f"{link.text} {link.url}")],
        guidance=guidance,
    )


def unfollowed(material: Material, posts: Sequence[Post]) -> list[str]:
    """The wishes no rule understood, and what is still said, or was never said, of what was to be
    left out.
    """
    brief = material.brief
    material_text = "\n".join(
        [
            brief.title,
            brief.summary or "",
            *brief.mustInclude,
            *(point.text for point in brief.keyPoints),
        ]
    ).casefold()
    drafted = "\n".join(f"{post.subject}\n{post.text}" for post in posts).casefold()
    return [
        *material.guidance.unclear,
        *(
            f"leave out “{a}”"
            for a in material.guidance.avoid
            if a.casefold() in drafted or a.casefold() not in material_text
        ),
    ]


def _meant(wish: str, points: Sequence[KeyPoint]) -> KeyPoint | None:
    """The point that is most like the wish, by its text and by what people call points of its kind:
    “the security fix”.
    """
    shares = [_share(wish, f"{point.text} {_CALLED.get(point.kind, '')}") for point in points]
    return points[shares.index(max(shares))] if shares and max(shares) >= ALIKE else None


def _share(wish: str, text: str) -> float:
    """How much of a wish's words a text has, by their first five letters."""
    wanted = _stems(wish)
    return len(wanted & _stems(text)) / len(wanted) if wanted else 0


def _stems(text: str) -> set[str]:
    return {word[:5] for word in re.findall(r"\d[\w.]*|\w{3,}", text.casefold())} - _LITTLE_WORDS


async def _by_model(
    model: ChatOpenAI,
    objective: str,
    source: str,
    told: Sequence[str],
    material: Material,
    offline: Sequence[Post],
) -> tuple[tuple[Post, ...] | None, str]:
    """The model's posts, or None and why. Their lines that have to be in are those that fitted into
    the offline ones.
    """
    must: dict[str, list[str]] = {}
    for post in offline:
        must[post.channel] = [line for line in material.must if line in post.text]
    messages = instructed(
        "writer",
        objective=objective,
        brief=material.brief.json_object(),
        source=source[:MAX_CHARACTERS],
        guidance=list(told),
        channels=[
            {
                "channel": post.channel,
                "limit": channel(post.channel).limit,
                "mustInclude": [*must[post.channel]],
            }
            for post in offline
        ],
    )

    def misfit(written: Written) -> str | None:
        if sorted(post.channel for post in written.posts) != sorted(must):
            return f"there has to be one post for each of {', '.join(must)}"
        return "; ".join(
            f"{post.channel}: {wrong}"
            for post in written.posts
            for wrong in _wrong(post, must[post.channel])
        )

    written, why = await ask_model(model, messages, Written, misfit)
    if written is None:
        return None, why
    by_channel = {post.channel: _post(post) for post in written.posts}
    return tuple(by_channel[post.channel] for post in offline), ""


def _wrong(written: WrittenPost, must: Sequence[str]) -> list[str]:
    try:
        post = _post(written)
    except ValidationError as error:
        return [
            f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors()
        ]
    return [
        *channel(post.channel).problems(post),
        *(f"“{line}” is missing" for line in must if line not in post.text),
    ]


def _post(written: WrittenPost) -> Post:
    place = channel(written.channel)
    return Post(
        channel=place.name,
        text=written.text.strip(),
        subject=" ".join((written.subject or "").split()) if place.has_subject else None,
    )
