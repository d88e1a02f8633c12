"""The main job, as a stranger would try it: an objective goes in, people are asked, the run goes
on, posts come out.
"""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.agents.counting import log_lines
from tests.openai_stub import openai_stub
from tests.processes import Running, serving

CHANGELOG = Path(__file__).parents[1] / "CHANGELOG.md"
DESK: dict[str, Any] = {
    "objective": "Announce this release",
    "inputs": {"source": CHANGELOG.read_text("utf-8")},
    "outputs": ["published"],
}


def started(api: httpx.Client, **body: Any) -> dict[str, Any]:
    response = api.post("/api/runs?wait=30", json=body)
    assert response.status_code == 202, response.text
    return response.json()


def answered(api: httpx.Client, run: dict[str, Any], **response: Any) -> dict[str, Any]:
    """Answer what waits; the run as it is when it has stopped again."""
    body = {
        "runId": run["runId"],
        "requestId": run["pendingRequestId"],
        "responses": [{"requestId": run["pendingRequestId"], **response}],
    }
    done = api.post("/api/hitl/resume?wait=30", json=body)
    assert done.status_code == 200, done.text
    return done.json()["run"]


def frames(api: httpx.Client, run: dict[str, Any]) -> list[dict[str, Any]]:
    stream = api.get(f"/api/runs/{run['runId']}/events").text
    return [
        json.loads(line.removeprefix("data: "))
        for line in stream.splitlines()
        if line.startswith("data: ")
    ]


def waiting(run: dict[str, Any]) -> dict[str, Any]:
    return next(
        request for request in run["requests"] if request["requestId"] == run["pendingRequestId"]
    )


def test_a_release_is_announced_after_two_questions(database_url: str, tmp_path: Path) -> None:
    with serving(database_url, HITL_OUTBOX_DIR=str(tmp_path)) as server, server.client() as api:
        run = started(api, **DESK)
        audience = waiting(run)
        assert (run["status"], audience["kind"], audience["originAgent"]) == (
            "awaiting_hitl",
            "choice",
            "announcement.strategist",
        )

        run = answered(api, run, selectedOptionId=audience["options"][0]["id"])
        approval = waiting(run)
        posts = {post["channel"]: post["text"] for post in approval["action"]["arguments"]["posts"]}
        assert (approval["kind"], [*posts], list(tmp_path.iterdir())) == (
            "approval",
            ["linkedin", "x", "email"],
            [],
        )

        run = answered(api, run, approved=True)
        assert (run["status"], run["plan"]["version"], run["deniedCount"]) == ("completed", 3, 0)
        written = {file.stem: file.read_text("utf-8") for file in tmp_path.rglob("*.txt")}
        assert all(posts[channel].strip() in written[channel] for channel in posts)
        assert any(
            line.strip("- *")[:40] in written["linkedin"]
            for line in DESK["inputs"]["source"].splitlines()
            if len(line) > 60
        )


def test_what_is_edited_is_published_and_what_is_rejected_is_not(
    database_url: str, tmp_path: Path
) -> None:
    with serving(database_url, HITL_OUTBOX_DIR=str(tmp_path)) as server, server.client() as api:
        body = {**DESK, "inputs": {**DESK["inputs"], "audience": "Developers", "channels": ["x"]}}
        edited = answered(
            api,
            started(api, **body),
            approved=True,
            editedArguments={"posts": [{"channel": "x", "text": "Out now."}]},
        )
        rejected = answered(api, started(api, **body), approved=False, freeformText="Not today")
        assert (
            edited["status"],
            [file.read_text("utf-8").strip() for file in tmp_path.rglob("x.txt")],
        ) == ("completed", ["Out now."])
        assert (rejected["status"], rejected["result"]["outputs"], rejected["deniedCount"]) == (
            "completed",
            {},
            0,
        )
        assert [
            (entry["capabilityId"], entry["reason"]) for entry in rejected["result"]["notDone"]
        ] == [("announcement.publisher", "Not today")]


def test_a_server_that_stops_while_a_run_waits_does_nothing_again(
    database_url: str, tmp_path: Path
) -> None:
    log = tmp_path / "log"

    def served() -> Any:
        return serving(database_url, "counting.py:left", HITL_TEST_LOG=str(log))

    with served() as server, server.client() as api:
        run = started(api, objective="Count", outputs=["left"])
        assert (server.terminate(), log_lines(log)) == (0, [f"{run['runId']} s1 prepared"])
    with served() as server, server.client() as api:
        run = answered(api, api.get(f"/api/runs/{run['runId']}").json(), freeformText="yes")
    assert (run["status"], run["result"]["outputs"]) == ("completed", {"left": "yes"})
    assert log_lines(log) == [f"{run['runId']} s1 prepared", f"{run['runId']} s1 applied yes"]


@pytest.mark.parametrize("malformed", [1, 2])
def test_a_models_malformed_answer_is_retried_once_and_then_done_by_rules_with_a_warning(
    database_url: str, tmp_path: Path, malformed: int
) -> None:
    steps = json.dumps(
        {
            "capabilityIds": [
                f"announcement.{name}" for name in ("strategist", "writer", "reviewer", "publisher")
            ]
        }
    )
    with openai_stub() as stub:
        stub.script.extend([*["{" for _ in range(malformed)], *([steps] if malformed == 1 else [])])
        model = {
            "OPENAI_API_KEY": "sk-of-the-tests",
            "OPENAI_BASE_URL": stub.base_url,
            "OPENAI_MODEL": "stub",
        }
        with (
            serving(database_url, HITL_OUTBOX_DIR=str(tmp_path), **model) as server,
            server.client() as api,
        ):
            run = started(api, **{**DESK, "inputs": {**DESK["inputs"], "audience": "Developers"}})
            warnings = [
                frame["message"]
                for frame in frames_so_far(server, run)
                if frame["type"] == "warning"
            ]
            assert "sk-of-the-tests" not in server.log.read_text()
            planned = [
                step["capabilityId"].removeprefix("announcement.") for step in run["plan"]["steps"]
            ]
        assert planned == ["strategist", "writer", "reviewer", "publisher"]
        assert any("The model's plan was refused" in warning for warning in warnings) == (
            malformed == 2
        )


def frames_so_far(server: Running, run: dict[str, Any]) -> list[dict[str, Any]]:
    """Of a run that has not ended: cancelled, so that its stream does."""
    with server.client() as api:
        api.post(f"/api/runs/{run['runId']}/cancel", json={"reason": "seen enough"})
        return frames(api, run)
