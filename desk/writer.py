"""Writes a draft for each channel: an extract by rules, or a model's text that has no error.

An extract is of the source's own items and sentences, as many as fit, none cut.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from langchain_openai import ChatOpenAI
from pydantic import BaseModel, Field, ValidationError

from hitl_orchestrator.desk.agent import DeskTask
from hitl_orchestrator.desk.channels import DEFAULT_CHANNELS, Channel, channel, channels
from hitl_orchestrator.desk.facets import Brief, Drafts, KeyPoint, Post
from hitl_orchestrator.desk.language import addresses, phrases_of
from hitl_orchestrator.desk.markup import CREDIT_LINK
from hitl_orchestrator.desk.points import OWN_LINK
from hitl_orchestrator.desk.reviewer import Evidence, find_errors, gather_evidence, guidance_of
from hitl_orchestrator.domain.records import JsonObject, describe_misfit
from hitl_orchestrator.nodes.model import ask_model, build_prompt

RULES = "offline rules"


class WrittenPost(BaseModel):
    channel: str
    subject: str | None
    text: str

    def read(self) -> Post:
        place = channel(self.channel)
        subject = " ".join((self.subject or "").split()) if place.has_subject else None
        return Post(channel=place.name, text=self.text.strip(), subject=subject)


class Written(BaseModel):
    """What a model writes."""

    posts: list[WrittenPost] = Field(min_length=1)


async def write_drafts(model: ChatOpenAI | None, task: DeskTask) -> dict[str, Any]:
    brief, told = Brief.model_validate(task["facets"]["brief"]), guidance_of(task)
    places = channels(task["facets"].get("channels") or DEFAULT_CHANNELS)
    made, warnings = RULES, list[str]()
    posts = await asyncio.to_thread(lambda: [extract(brief, place) for place in places])
    if model:
        evidence = await asyncio.to_thread(gather_evidence, task, brief)
        written, why = await _ask_model(model, task, evidence, places)
        if written:
            posts, made = written, f"model {model.model_name}"
        else:
            warnings.append(f"The drafts were made by {RULES}: {why}.")
    elif told:
        warnings.append("Without a model nothing follows what was said in words.")
    drafts = Drafts(posts=tuple(posts), guidance=tuple(told), madeBy=made)
    return {"drafts": drafts.json_object(), "warnings": warnings}


async def _ask_model(
    model: ChatOpenAI, task: DeskTask, evidence: Evidence, places: Sequence[Channel]
) -> tuple[list[Post] | None, str]:
    """Return the model's posts, or None and why. They pass what the reviewer checks."""
    data: JsonObject = {
        "objective": task["objective"],
        "brief": evidence.brief.json_object(),
        "guidance": [*guidance_of(task)],
        "links": [*sorted(set(evidence.links))],
        "mustInclude": [point.text for point in evidence.points if point.is_urgent],
        "channels": [{"channel": place.name, "limit": place.limit} for place in places],
    }
    names = [place.name for place in places]
    instructions = (files("hitl_orchestrator.desk") / "prompts" / "writer.md").read_text("utf-8")

    def misfit(written: Written) -> str | None:
        if sorted(post.channel for post in written.posts) != sorted(names):
            return f"there has to be one post for each of {', '.join(names)}"
        try:
            errors = [one for post in written.posts for one in find_errors(post.read(), evidence)]
        except ValidationError as error:
            return describe_misfit(error)
        return "; ".join(f"{error.channel}: {error.message}" for error in errors)

    written, why = await ask_model(model, build_prompt(instructions, data), Written, misfit)
    if written is None:
        return None, why
    posts = [post.read() for post in written.posts]
    return sorted(posts, key=lambda post: names.index(post.channel)), ""


def extract(brief: Brief, place: Channel) -> Post:
    """Put a post together: every warning, something that was fixed, and what goes first.

    A warning is in whether it fits or not: a post that is too long is an error that is seen.
    """
    points = brief.keyPoints
    taken = [number for number, one in enumerate(points) if one.is_urgent]
    most = len(taken) + place.points
    if not any(point.kind == "security" for point in points):
        fixed = [number for number, one in enumerate(points) if one.kind == "fixed"]
        taken += [number for number in fixed if _fits(brief, place, [*taken, number])][:1]
    for number in _order(brief, has_room=place.points >= len(points)):
        is_next = len(taken) < most and _may_stand(points, taken, number)
        if is_next and _fits(brief, place, [*taken, number]):
            taken.append(number)
    subject = _name_release(brief)[:1000] if place.has_subject else None
    return Post(channel=place.name, text=_render(brief, taken), subject=subject)


def _order(brief: Brief, has_room: bool) -> list[int]:
    """Return the points' numbers: an introduction, what goes first, then of each section one.

    What stands under a heading that says nothing of its kind is told where there is room for all.
    """
    has_room = has_room or not any(point.is_news for point in brief.keyPoints)
    seen, turns = Counter[str | None](), list[tuple[bool, bool, int, int]]()
    for number, point in enumerate(brief.keyPoints):
        leads, begins = number in brief.lead, point.section is None and not point.whole
        if leads or has_room or point.is_news:
            seen[point.section] += 1
            turns.append((not begins, not leads, seen[point.section], number))
    return [number for *_, number in sorted(turns)]


def _may_stand(points: Sequence[KeyPoint], taken: Sequence[int], number: int) -> bool:
    """Say whether a sentence begins its paragraph, or stands behind one that is in."""
    point, before = points[number], points[max(number - 1, 0)]
    begins = point.whole or before.whole or before.section != point.section
    return number not in taken and (begins or number == 0 or number - 1 in taken)


def _fits(brief: Brief, place: Channel, taken: Sequence[int]) -> bool:
    """Say whether there is room for the last one, too, and it leads to no issue."""
    is_short = place.count(_render(brief, taken)) <= place.limit
    return is_short and not any(map(CREDIT_LINK.search, addresses(brief.keyPoints[taken[-1]].text)))


def _render(brief: Brief, taken: Sequence[int]) -> str:
    """Return the text: the points under the source's own headings."""
    paragraphs, last = [_name_release(brief)], KeyPoint(text="-")
    for point in (brief.keyPoints[number] for number in sorted(taken)):
        text = f"• {point.text}" if point.whole else point.text
        is_new = len(paragraphs) == 1 or point.section != last.section
        if is_new or point.whole != last.whole:
            paragraphs.append(f"{point.section}\n{text}" if is_new and point.section else text)
        else:
            paragraphs[-1] += f"\n{text}" if point.whole else f" {text}"
        last = point
    return "\n\n".join([*paragraphs, *_footer(brief, len(brief.keyPoints) - len(taken))])


def _name_release(brief: Brief) -> str:
    """Return product and version; what comes before a release is called so."""
    called = f"{brief.headline} ({phrases_of(brief.language)[2]})"
    return called if brief.prerelease else brief.headline


def _footer(brief: Brief, missing: int) -> list[str]:
    """Return the link and how much was left out: of the release's own link, where that is."""
    all_of_it, more, _ = phrases_of(brief.language)
    said = more.format(missing) if missing else all_of_it
    if not brief.links:
        return [said]
    url, text = brief.links[0].url, brief.links[0].text
    if OWN_LINK.search(url):
        return [f"{said}: {url}"]
    return [f"{text}: {url}" if text and "://" not in text else url, said]
