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
    return [
        describe_agent(
            "strategist",
            "Reads what a release says; asks which one is meant, or whom to address.",
            strategist.write_brief,
            "objective, source?, audience? -> brief",
        ),
        describe_agent(
            "writer",
            "Writes a draft for each channel, within its limits.",
            partial(writer.write_drafts, model),
            "brief, source?, channels? -> drafts",
        ),
        describe_agent(
            "reviewer",
            "Checks product, version, figures, links and sentences; asks about every error.",
            partial(reviewer.review_drafts, model is not None),
            "drafts, brief, source? -> review",
            reworks=("drafts",),
        ),
        describe_agent(
            "publisher",
            "Asks for approval and puts the approved posts into the outbox.",
            partial(publisher.publish, outbox),
            "drafts, review -> published",
        ),
    ]
