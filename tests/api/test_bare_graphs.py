"""A graph with no line of ours, on the real server: it asks, and remembers across runs."""

from tests.api.calls import answering, started
from tests.processes import AGENTS


async def test_a_bare_graph_asks_and_remembers(database_url: str) -> None:
    async with started(database_url, agents=(f"{AGENTS}/remembering.py:graph",)) as api:
        [capability] = (await api.get("/api/capabilities")).json()["capabilities"]
        assert capability["capabilityId"] == capability["displayName"] == "graph"
        for number, tenant in enumerate(["acme", "acme", "other"]):
            body = {"objective": "Come in", "metadata": {"tenant": tenant}}
            run = (await api.post("/api/runs?wait=30", json=body)).json()
            visits = [1, 2, 1][number]
            assert run["requests"][0]["question"] == f"Visit {visits}. Go on?"
            answered = await api.post(
                "/api/hitl/resume?wait=30", json=answering(run, approved=True)
            )
            run = answered.json()["run"]
            made = {"objective": "Come in", "visits": visits}
            assert (run["status"], run["result"]["outputs"]) == ("completed", {"graph": made})
