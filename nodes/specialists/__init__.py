"""The built-in specialists: an announcement desk. Each is a mapping in the plug-in format of the contract, section 8."""

from pathlib import Path

from langchain_openai import ChatOpenAI

from nodes.specialists.agent import AgentMapping
from nodes.specialists.publisher import publisher
from nodes.specialists.reviewer import reviewer
from nodes.specialists.strategist import strategist
from nodes.specialists.writer import writer


def builtin_agents(model: ChatOpenAI | None, outbox: Path) -> list[AgentMapping]:
    """Without a model they follow rules, the same for the same input. The publisher writes below `outbox`."""
    return [strategist(model), writer(model), reviewer(model), publisher(outbox)]
