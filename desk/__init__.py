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

    @property
    def openai_api_key(self) -> SecretStr | None: ...
    @property
    def openai_model(self) -> str | None: ...
    @property
    def openai_base_url(self) -> str | None: ...
    @property
    def outbox_dir(self) -> Path: ...


def agents(settings: DeskSettings) -> list[AgentMapping]:
    """Return the desk's agents, as the settings want them: the entry for HITL_AGENTS."""
    model = build_chat_model(
        settings.openai_api_key, settings.openai_model, settings.openai_base_url
    )
    return build_agents(model, settings.outbox_dir)


def build_agents(model: ChatOpenAI | None, outbox: Path) -> list[AgentMapping]:
    """Return the desk's agents as mappings, each in the format of docs/agents.md.

    Without a model they follow rules, the same for the same input. The publisher writes below
    `outbox`.
    """
    return [
        describe_agent(
            strategist.write_brief,
            "strategist",
            "Reads what a release says; asks which one is meant, or whom to address.",
            takes=["objective"],
            may_take=["source", "audience"],
            makes="brief",
        ),
        describe_agent(
            partial(writer.write_drafts, model),
            "writer",
            "Writes a draft for each channel, within its limits.",
            takes=["brief"],
            may_take=["source", "channels"],
            makes="drafts",
        ),
        describe_agent(
            partial(reviewer.review_drafts, model is not None),
            "reviewer",
            "Checks product, version, figures, links and sentences; asks about every error.",
            takes=["drafts", "brief"],
            may_take=["source"],
            makes="review",
            reworks=["drafts"],
        ),
        describe_agent(
            partial(publisher.publish, outbox),
            "publisher",
            "Asks for approval and puts the approved posts into the outbox.",
            takes=["drafts", "review"],
            makes="published",
        ),
    ]
