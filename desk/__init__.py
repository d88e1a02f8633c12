"""The announcement desk: four agents, plugged in by `HITL_AGENTS=hitl_orchestrator.desk:agents`.

It is an application: nothing of the orchestrator imports it.
"""

from functools import partial
from pathlib import Path
from typing import Protocol

from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from hitl_orchestrator.desk import publisher, reviewer, strategist, writer
from hitl_orchestrator.desk.agent import AgentMapping, describe_agent
from hitl_orchestrator.nodes.model import build_chat_model


class DeskSettings(Protocol):
    """What the desk reads of the server's settings."""

    openai_api_key: SecretStr | None
    openai_model: str | None
    openai_base_url: str | None
    outbox_dir: Path


def agents(settings: DeskSettings) -> list[AgentMapping]:
    """Return the desk's agents, as the settings want them: the entry for HITL_AGENTS."""
    key, model, url = settings.openai_api_key, settings.openai_model, settings.openai_base_url
    return build_agents(build_chat_model(key, model, url), settings.outbox_dir)


def build_agents(model: ChatOpenAI | None, outbox: Path) -> list[AgentMapping]:
    """Return the desk's agents as mappings, each in the format of docs/agents.md.

    Without a model they follow rules, the same for the same input. The publisher writes below
    `outbox`.
    """
    says = "Reads what a release says; asks which one is meant, or whom to address."
    writes = "Writes a draft for each channel, within its limits."
    checks = "Checks product, version, figures, links and sentences; asks about every error."
    publishes = "Asks for approval and puts the approved posts into the outbox."
    brief, drafts = "objective, source?, audience? -> brief", "brief, source?, channels? -> drafts"
    review, published = "drafts, brief, source? -> review", "drafts, review -> published"
    write, check = partial(writer.write_drafts, model), partial(reviewer.review_drafts, bool(model))
    publish = partial(publisher.publish, outbox)
    return [
        describe_agent("strategist", strategist.write_brief, brief, says),
        describe_agent("writer", write, drafts, writes),
        describe_agent("reviewer", check, review, checks) | {"reworks": ["drafts"]},
        describe_agent("publisher", publish, published, publishes),
    ]
