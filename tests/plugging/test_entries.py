"""What an entry of HITL_AGENTS may name: a mapping, several, or a function that makes them."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hitl_orchestrator.desk import agents as desk_agents
from hitl_orchestrator.nodes.agents import load_agents
from hitl_orchestrator.server.settings import Settings
from tests.plugging.folders import refuse, write
from tests.processes import DESK

AGENTS = """
def mapping(name):
    return {"capabilityId": name, "displayName": name, "outputFacets": [name], "run": dict}

one = mapping("one")
several = [mapping("left"), mapping("right")]
pair = (mapping("a"), mapping("b"))
nothing = []
mixed = [mapping("left"), "right"]

def made(settings):
    return mapping(settings.name)

def made_several(settings):
    return [mapping(settings.name), mapping(f"{settings.name}.too")]

async def made_later(settings):
    return mapping("later")

def breaks(settings):
    raise RuntimeError("no such\\nmodel")

def exits(settings):
    raise SystemExit(3)
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path, agents_of_the_entries=AGENTS) / "agents_of_the_entries.py"


def load(*entries: str) -> list[str]:
    settings = SimpleNamespace(name="named")
    return [agent.capability.capabilityId for agent in load_agents(entries, settings)]


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("one", ["one"]),
        ("several", ["left", "right"]),
        ("pair", ["a", "b"]),
        ("made", ["named"]),
        ("made_several", ["named", "named.too"]),
    ],
)
def test_an_entry_names_one_agent_or_several(file: Path, name: str, ids: list[str]) -> None:
    assert load(f"{file}:{name}") == ids


def test_agents_keep_the_order_of_the_entries(file: Path) -> None:
    assert load(f"{file}:several", f"{file}:one") == ["left", "right", "one"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("nothing", "names no agent: it is an empty list"),
        ("mixed", ", number 2 is no mapping that describes an agent, but of type str"),
        ("made_later", "is no mapping that describes an agent, but of type coroutine"),
        ("breaks", "fails when it is called with the settings: RuntimeError: no such model"),
        ("exits", "fails when it is called with the settings: SystemExit: 3"),
        ("missing", "cannot be loaded: AttributeError"),
    ],
)
def test_an_entry_that_makes_no_agents_is_refused_in_one_line(
    file: Path, name: str, reason: str
) -> None:
    detail = refuse(lambda: load(f"{file}:{name}"))
    assert detail.startswith(f"HITL_AGENTS: {file}:{name}")
    assert reason in detail


def test_the_desk_is_plugged_in_as_anybodys_agents_are(tmp_path: Path) -> None:
    settings = Settings(outbox_dir=tmp_path)
    found: list[Any] = [one["capabilityId"] for one in desk_agents(settings)]
    assert [agent.capability.capabilityId for agent in load_agents([DESK], settings)] == found
    assert found[-1] == "announcement.publisher"


def test_without_a_setting_it_is_the_desk_alone() -> None:
    assert Settings().agents == (DESK,)
