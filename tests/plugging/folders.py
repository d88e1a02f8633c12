"""Folders of strangers, written into a test's own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hitl_orchestrator.domain.errors import ConfigurationError
from hitl_orchestrator.nodes.agents import Agent, load_agents


def write(folder: Path, **modules: str) -> Path:
    """Write modules, by their paths below the folder: `graph`, `nodes/draft`."""
    for name, text in modules.items():
        file = folder / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder


def describe_agent(name: str, run: str = "lambda task: {}") -> str:
    """Return the text of a small agent; `run` is Python."""
    return (
        f"agent = {{'capabilityId': '{name}', 'displayName': '{name}',"
        f" 'outputFacets': ['{name}'], 'run': {run}}}\n"
    )


def load(*entries: str) -> list[Agent]:
    return load_agents(entries, None)


def work(agent: Agent) -> Any:
    """What a function of an agent returns: its late imports happen now."""
    assert callable(agent.run)
    return agent.run({})


def refuse(act: Callable[[], object]) -> str:
    """Return the one line with which the act is refused."""
    with pytest.raises(ConfigurationError) as raised:
        act()
    assert "\n" not in raised.value.detail
    return raised.value.detail
