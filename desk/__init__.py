"""The built-in specialists: an announcement desk. Each is a mapping in the plug-in format of the
contract, section 8.
"""

from pathlib import Path

from langchain_openai import ChatOpenAI

from hitl_orchestrator.desk import publisher, reviewer, strategist, writer
from hitl_orchestrator.desk.agent import AgentMapping


def builtin_agents(model: ChatOpenAI | None, outbox: Path) -> list[AgentMapping]:
    """Without a model they follow rules, the same for the same input. The publisher writes below
    `outbox`.
    """
    return [
        strategist.agent(model),
        writer.agent(model),
        reviewer.agent(model),
        publisher.agent(outbox),
    ]
