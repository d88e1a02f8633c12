"""What the pages say is what the program does: tables and pictures are compared with the code, and
examples are run.
"""

import ast
import re
import runpy
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer
import typer.main

from hitl_orchestrator.domain.errors import ConfigurationError
from hitl_orchestrator.domain.events import VOICES
from hitl_orchestrator.nodes.agents import read_agent
from hitl_orchestrator.server.main import app
from hitl_orchestrator.server.settings import Settings
from hitl_orchestrator.server.telemetry import Telemetry
from tests.processes import serving
from tests.repository import ROOT

README = (ROOT / "README.md").read_text("utf-8")
AGENTS = (ROOT / "docs" / "agents.md").read_text("utf-8")
OPERATIONS = (ROOT / "docs" / "operations.md").read_text("utf-8")
EXAMPLE = ROOT / "examples" / "audience.py"


def block(page: str, language: str, has: str) -> str:
    """The one block of code in that language that has the text."""
    found = [
        code
        for code in re.findall(rf"^```{language}\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
        if has in code
    ]
    assert len(found) == 1, f"{len(found)} blocks of {language} with {has!r}"
    return found[0]


def first_column(page: str, heading: str) -> set[str]:
    """The words in code type that the first table below the heading has in its first column."""
    below = page.partition(f"\n{heading}\n")[2]
    table = re.search(r"(?:^\|.*\n)+", below, re.MULTILINE)
    assert table, f"no table below {heading!r}"
    rows = table[0].splitlines()[2:]
    return {word for row in rows for word in re.findall(r"`([^`]+)`", row.split("|")[1])}


def test_the_picture_is_drawn_from_the_compiled_graph() -> None:
    command = runpy.run_path(str(ROOT / "scripts" / "picture.py"))
    picture = command["drawn"]()
    drawn_again = (
        command["shown_in"](README, picture),
        (ROOT / "docs" / "graph.mmd").read_text("utf-8"),
    )
    assert drawn_again == (README, picture), "run scripts/picture"
    assert "```mermaid\n" in README


def test_the_readme_has_every_setting() -> None:
    assert first_column(README, "## Settings") == {
        str(field.validation_alias) for field in Settings.model_fields.values()
    } | {"HITL_URL"}


def test_the_readme_has_every_command() -> None:
    assert first_column(README, "## Commands") == {
        f"hitl {name}" for name in commands(typer.main.get_command(app))
    }


def commands(group: Any) -> set[str]:
    """Those of groups within with the group's name before theirs."""
    found = set[str]()
    for name, command in group.commands.items():
        if getattr(command, "invoke_without_command", False):
            found.add(name)
        found |= (
            {f"{name} {inner}" for inner in commands(command)}
            if hasattr(command, "commands")
            else {name}
        )
    return found


def test_the_operators_page_has_every_log_event_and_every_metric() -> None:
    exposition = Telemetry().exposition(0, 0, 0).decode()
    metrics = {
        name
        for name in re.findall(r"^# TYPE (\S+)", exposition, re.MULTILINE)
        if not name.endswith("_created")
    }
    assert {name.partition("{")[0] for name in first_column(OPERATIONS, "## Metrics")} == metrics
    call = r'(?:\.log|_log\.(?:error|warning))\(\s*"(\w+)"'
    logged = {
        name
        for room in ("server", "nodes")
        for path in (ROOT / room).rglob("*.py")
        for name in re.findall(call, path.read_text("utf-8"))
    }
    assert first_column(OPERATIONS, "## Logs") == logged | {
        voice.log for voice in VOICES.values() if voice.log
    }


def test_the_agents_page_has_every_key_of_a_mapping() -> None:
    with pytest.raises(ConfigurationError) as refused:
        read_agent({"?": None}, "here")
    known = refused.value.detail.partition("known are ")[2].split(", ")
    assert first_column(AGENTS, "## The mapping") == set(known)


def test_the_readmes_agent_is_the_example() -> None:
    example = ast.parse(EXAMPLE.read_text("utf-8"))
    del example.body[0]  # its docstring
    assert ast.dump(ast.parse(block(README, "python", "async def run("))) == ast.dump(example)


def test_the_readmes_agent_is_listed_asks_is_answered_and_its_result_is_in_the_run(
    database_url: str, tmp_path: Path
) -> None:
    pasted = tmp_path / "my_agent.py"
    pasted.write_text(block(README, "python", "async def run("), "utf-8")
    with serving(database_url, f"{pasted}:agent") as server, server.client() as client:
        listed = [
            one["capabilityId"] for one in answered(client.get("/api/capabilities"))["capabilities"]
        ]
        run = answered(
            client.post(
                "/api/runs",
                params={"wait": 20},
                json={"objective": "Announce our release"},
            )
        )
        request_id = run["pendingRequestId"]
        response = {"requestId": request_id, "selectedOptionId": "ops"}
        body = {"runId": run["runId"], "requestId": request_id, "responses": [response]}
        run = answered(client.post("/api/hitl/resume", params={"wait": 20}, json=body))["run"]
    assert listed == ["briefing.audience"], "what is named is all that is loaded"
    assert (run["status"], run["result"]["outputs"]) == (
        "completed",
        {"brief": {"audience": "ops"}},
    )


def answered(response: httpx.Response) -> Any:
    assert response.is_success, response.text
    return response.json()
