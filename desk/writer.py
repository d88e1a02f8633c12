"""Writes a draft for each channel: an extract by rules, or a model's text that has no error."""

import asyncio
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from langchain_openai import ChatOpenAI
from pydantic import BaseModel, Field, ValidationError

from hitl_orchestrator.desk.agent import DeskTask, guidance_of
from hitl_orchestrator.desk.channels import DEFAULT_CHANNELS, Channel, channel, channels
from hitl_orchestrator.desk.evidence import Evidence, find_errors, gather_evidence
from hitl_orchestrator.desk.extract import extract
from hitl_orchestrator.desk.facets import Brief, Drafts, Post
from hitl_orchestrator.domain.records import Json, JsonObject, describe_misfit
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
    limits: list[Json] = [{"channel": place.name, "limit": place.limit} for place in places]
    data: JsonObject = {
        "objective": task["objective"],
        "brief": evidence.brief.json_object(),
        "guidance": [*guidance_of(task)],
        "links": [*sorted(set(evidence.links))],
        "mustInclude": [point.text for point in evidence.points if point.is_urgent],
        "channels": limits,
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
    by_channel = {post.channel: post.read() for post in written.posts}
    return [by_channel[name] for name in names], ""
