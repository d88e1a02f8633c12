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

from hitl_orchestrator.desk.agent import DeskTask, guidance_of
from hitl_orchestrator.desk.channels import DEFAULT_CHANNELS, Channel, channel, channels
from hitl_orchestrator.desk.facets import Brief, Drafts, KeyPoint, Post
from hitl_orchestrator.desk.language import addresses, beginnings, phrases_of
from hitl_orchestrator.desk.markup import CREDIT_LINK
from hitl_orchestrator.desk.points import OWN_LINK
from hitl_orchestrator.desk.reviewer import Evidence, find_errors, gather_evidence
from hitl_orchestrator.domain.records import JsonObject, describe_misfit
from hitl_orchestrator.nodes.model import ask_model, build_prompt

RULES = "offline rules"
Taken = dict[int, str]  # the texts of points, by the points' numbers


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
    return sorted(
        (post.read() for post in written.posts), key=lambda one: names.index(one.channel)
    ), ""


def extract(brief: Brief, place: Channel) -> Post:
    """Put a post together: every warning, something that was fixed, and what goes first.

    A warning is in whether it fits or not: a post that is too long is an error that is seen.
    """
    points = brief.keyPoints
    taken: Taken = {number: one.text for number, one in enumerate(points) if one.is_urgent}
    most = len(taken) + place.points
    if not any(point.kind == "security" for point in points):
        fixed = (number for number, one in enumerate(points) if one.kind == "fixed")
        any(_take(brief, place, taken, number) for number in fixed)  # until one fits
    for number in _order(brief, has_room=place.points >= len(points)):
        if len(taken) < most and _may_stand(points, taken, number):
            _take(brief, place, taken, number)
    subject = _name_release(brief)[:1000] if place.has_subject else None
    return Post(channel=place.name, text=_render(brief, taken), subject=subject)


def _name_release(brief: Brief) -> str:
    """Return product and version; what comes before a release is called so."""
    called = f"{brief.headline} ({phrases_of(brief.language)[2]})"
    return called if brief.prerelease else brief.headline


def _order(brief: Brief, has_room: bool) -> list[int]:
    """Return the points' numbers: an introduction, what goes first, then of each section one.

    What stands under a heading that says nothing of its kind is told where there is room for all.
    """

    def is_news(point: KeyPoint) -> bool:
        return point.section is None or point.kind not in ("internal", "other")

    seen, turns = Counter[str | None](), list[tuple[bool, bool, int, int]]()
    has_room = has_room or not any(map(is_news, brief.keyPoints))
    for number, point in enumerate(brief.keyPoints):
        leads, begins = number in brief.lead, point.section is None and not point.whole
        if leads or has_room or is_news(point):
            seen[point.section] += 1
            turns.append((not begins, not leads, seen[point.section], number))
    return [number for *_, number in sorted(turns)]


def _may_stand(points: Sequence[KeyPoint], taken: Taken, number: int) -> bool:
    """Say whether a sentence begins its paragraph, or stands behind one that is in."""
    point, before = points[number], points[max(number - 1, 0)]
    begins = point.whole or before.whole or before.section != point.section
    return number not in taken and (begins or number == 0 or number - 1 in taken)


def _take(brief: Brief, place: Channel, taken: Taken, number: int) -> bool:
    """Take a point if it fits, whole or by its first sentences."""
    for text in beginnings(brief.keyPoints[number].text):
        leads_to_issue = any(map(CREDIT_LINK.search, addresses(text)))
        longer = place.count(_render(brief, taken | {number: text}))
        if not leads_to_issue and longer <= place.limit:
            taken[number] = text
            return True
    return False


def _render(brief: Brief, taken: Taken) -> str:
    """Return the text: the points under the source's own headings."""
    paragraphs, last = [_name_release(brief)], None
    for number in sorted(taken):
        point, text = brief.keyPoints[number], taken[number]
        text = f"• {text}" if point.whole else text
        if (point.section, point.whole) == last:
            paragraphs[-1] += f"\n{text}" if point.whole else f" {text}"
        else:
            is_new = point.section and (last is None or point.section != last[0])
            paragraphs.append(f"{point.section}\n{text}" if is_new else text)
        last = point.section, point.whole
    return "\n\n".join([*paragraphs, *_footer(brief, len(brief.keyPoints) - len(taken))])


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
