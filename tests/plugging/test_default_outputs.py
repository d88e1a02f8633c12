"""What a run wants that names no facets: what is configured, the desk's, or the only agent's."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from hitl_orchestrator.domain.capability import Registry, default_outputs
from hitl_orchestrator.nodes.agents import build_registry, load_agents, read_agent
from hitl_orchestrator.server.app import create_app
from hitl_orchestrator.server.settings import Settings
from tests.processes import AGENTS, API_KEY, DESK


def knowing(*names: str) -> Registry:
    """Agents of these ids, each making two facets of its own."""
    return build_registry([read_agent(mapping(name), "here") for name in names])


def mapping(name: str) -> dict[str, Any]:
    return {
        "capabilityId": name,
        "displayName": name,
        "outputFacets": [f"{name}.text", f"{name}.note"],
        "run": dict,
    }


def desk() -> Registry:
    settings = Settings()
    return build_registry(load_agents([DESK], settings))


def test_what_is_configured_is_wanted() -> None:
    assert default_outputs(desk(), ("brief",)) == ("brief",)


def test_with_the_desk_it_is_what_the_desk_publishes() -> None:
    known = {**knowing("mine"), **desk()}
    assert default_outputs(known, None) == ("published",)
    assert known["announcement.publisher"].outputFacets == ("published",)


def test_of_the_only_agent_it_is_all_that_it_makes() -> None:
    assert default_outputs(knowing("mine"), None) == ("mine.text", "mine.note")


def test_of_several_agents_it_is_nothing() -> None:
    assert default_outputs(knowing("mine", "yours"), None) == ()


async def start(database_url: str, body: dict[str, Any], *agents: str) -> httpx.Response:
    entries = tuple(str(AGENTS / agent) for agent in agents)
    app = create_app(
        Settings.model_validate(
            {"database_url": database_url, "api_key": API_KEY, "agents": entries}
        )
    )
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        headers = {"Authorization": f"Bearer {API_KEY}"}
        return await client.post("/api/runs", params={"wait": 20}, headers=headers, json=body)


async def test_a_run_of_the_only_agent_names_nothing(database_url: str, tmp_path: Path) -> None:
    response = await start(database_url, {"objective": "Hello"}, "subgraph.py:agent")
    assert response.status_code == 202, response.text
    assert response.json()["status"] == "awaiting_hitl"


@pytest.mark.parametrize("outputs", [{}, {"outputs": []}])
async def test_a_run_among_several_agents_has_to_name_what_it_wants(
    database_url: str, outputs: dict[str, Any]
) -> None:
    body = {"objective": "Hello", **outputs}
    response = await start(database_url, body, "subgraph.py:agent", "hangs.py:agent")
    assert response.status_code == 422
    detail = response.json()["detail"]
    assert detail.startswith("Name the facets you want in `outputs`")
    assert detail.endswith("They make verdict, answer.")
